"""What a `POST /v1/responses` may ask for where the backend only speaks chat.

Every member that a chat completion can stand for is here; what needs a server of OpenAI's own is
refused by its name. Members that are not known pass through to the backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import RequestError
from schemas.misfits import sentence
from schemas.responses.input import Item
from schemas.responses.tools import Reasoning, TextConfig, Tool, ToolChoice

MAX_ITEMS: Final = 10_000
_METADATA_PAIRS = 16
# Of OpenAI's own servers: stored prompts, conversations, compaction, moderation.
_REFUSED = (
    "conversation",
    "prompt",
    "context_management",
    "moderation",
    "background_options",
    "access_programs",
    "image",
)
_OF_A_KIND = ("union_tag_invalid", "union_tag_not_found", "literal_error")

MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


def _form(value: Any) -> str:
    return "text" if isinstance(value, str) else "items"


class Common(BaseModel):
    """The members that every Responses body is checked for, whatever serves it."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    input: str | list[Any]
    previous_response_id: str | None = None
    background: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    metadata: (
        Annotated[dict[MetadataKey, MetadataValue], Field(max_length=_METADATA_PAIRS)] | None
    ) = None


class Asked(Common):
    """The members that a chat completion can stand for, and those that are only told back."""

    input: Annotated[
        Annotated[str, Tag("text")]
        | Annotated[list[Item], Field(min_length=1, max_length=MAX_ITEMS), Tag("items")],
        Discriminator(_form),
    ]
    instructions: str | None = None
    stream_options: dict[str, Any] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    truncation: Literal["disabled"] | None = None
    user: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None


Form = TypeVar("Form", bound=Common)


def read_asked(members: Mapping[str, Any]) -> Asked:
    """Return what is asked for.

    Raises RequestError `unsupported_parameter` for what a chat backend cannot do, `invalid_body`
    for what has another shape.
    """
    for name in _REFUSED:
        if members.get(name) is not None:
            raise _unsupported(f"`{name}` is not served here.", name)
    return _read(Asked, members)


def check_common(members: Mapping[str, Any]) -> None:
    """Check a body that its backend understands itself. Raises RequestError `invalid_body`."""
    _read(Common, members)


def _read(form: type[Form], members: Mapping[str, Any]) -> Form:
    try:
        return form.model_validate(members)
    except ValidationError as error:
        raise _refusal(members, error.errors(include_url=False)[0]) from None


def _refusal(members: Mapping[str, Any], first: ErrorDetails) -> RequestError:
    param = _path(members, first)
    if first["type"] in _OF_A_KIND:
        given = first.get("input")
        kind = given.get("type") if isinstance(given, dict) else given
        return _unsupported(f"`{param}`: {str(kind)[:100]!r} is not served here.", param)
    if first["type"] == "unsupported":
        return _unsupported(f"`{param}`: {first['msg']}.", param)
    return RequestError("invalid_body", sentence(param, first), param=param)


def _path(members: Mapping[str, Any], first: ErrorDetails) -> str:
    """Return where the mistake is, without the names that only pydantic gives to kinds."""
    place: Any = members
    path: list[str] = []
    for part in first["loc"]:
        if isinstance(place, Mapping) and part in place:
            place = place[str(part)]
        elif isinstance(place, list) and isinstance(part, int):
            place = place[part]
        elif first["type"] != "missing" or part != first["loc"][-1]:
            continue
        path.append(str(part))
    return ".".join(path)[:200]


def _unsupported(message: str, param: str) -> RequestError:
    return RequestError("unsupported_parameter", message, param=param)
