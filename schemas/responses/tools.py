"""Tools, the form of the text and how hard to think, as a Responses body asks for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class _Read(BaseModel):
    """Further members are told back, never passed on."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Tool(_Read):
    """A function of the client; a hosted tool is not served."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OneFunction(_Read):
    """This function must be called."""

    type: Literal["function"]
    name: str


class AllowedTools(_Read):
    """Of the tools, only these."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[OneFunction]


def _form(value: Any) -> str | None:
    if isinstance(value, str):
        return "mode"
    return value.get("type") if isinstance(value, dict) else None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")]
    | Annotated[OneFunction, Tag("function")]
    | Annotated[AllowedTools, Tag("allowed_tools")],
    Discriminator(_form),
]


class PlainText(_Read):
    """Text as it comes."""

    type: Literal["text"]


class JsonObject(_Read):
    """Some JSON object."""

    type: Literal["json_object"]


class JsonSchema(_Read):
    """JSON of this schema."""

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())

    type: Literal["json_schema"]
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(_Read):
    """The form of the text."""

    format: Annotated[PlainText | JsonObject | JsonSchema, Field(discriminator="type")] | None = (
        None
    )
    verbosity: str | None = None


class Reasoning(_Read):
    """How hard to think."""

    effort: str | None = None
