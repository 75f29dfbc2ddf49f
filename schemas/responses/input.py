"""The items of a Responses input that a chat message can stand for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError


class _Read(BaseModel):
    """Further members are told back, never passed on."""

    model_config = ConfigDict(extra="ignore", strict=True)


def _without_reference(value: Any) -> Any:
    """Refuse what names a file of OpenAI's instead of holding its bytes."""
    for name in ("file_id", "file_url"):
        if isinstance(value, dict) and value.get(name) is not None:
            raise PydanticCustomError("unsupported", f"{name} is not served here; send the data")
    return value


class InputText(_Read):
    """Text that was said to the model."""

    type: Literal["input_text"]
    text: str


class InputImage(_Read):
    """An image by its URL, which may be a `data:` URL."""

    type: Literal["input_image"]
    image_url: str
    detail: str | None = None

    _check = model_validator(mode="before")(_without_reference)


class InputFile(_Read):
    """A file with its bytes in base64."""

    type: Literal["input_file"]
    file_data: str
    filename: str | None = None

    _check = model_validator(mode="before")(_without_reference)


class InputAudio(_Read):
    """Sound in base64, and its format."""

    type: Literal["input_audio"]
    input_audio: dict[str, str]


class OutputText(_Read):
    """Text that the model has said before."""

    type: Literal["output_text"]
    text: str


class Refusal(_Read):
    """A refusal that the model has said before."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[
    InputText | InputImage | InputFile | InputAudio | OutputText | Refusal,
    Field(discriminator="type"),
]


def _form(value: Any) -> str:
    return "text" if isinstance(value, str) else "parts"


Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Part], Tag("parts")], Discriminator(_form)
]
Output = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[InputText], Tag("parts")], Discriminator(_form)
]


class Message(_Read):
    """What somebody said."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content


class FunctionCall(_Read):
    """A call that the model has asked for; `arguments` are JSON text."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(_Read):
    """What the client's function has answered."""

    type: Literal["function_call_output"]
    call_id: str
    output: Output


class ReasoningItem(_Read):
    """What the model has thought before: taken, and not passed on, since chat has no place."""

    type: Literal["reasoning"]


def _kind(value: Any) -> Any:
    """Return an item's type; a message need not say that it is one."""
    if not isinstance(value, dict):
        return None
    return value.get("type", "message")


Item = Annotated[
    Annotated[Message, Tag("message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_kind),
]
