"""The Response object, as it is told at every instant of a request's life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from schemas.ids import response_id
from schemas.priority import Priority, tier_of

ENDPOINT = "/v1/responses"
Standing = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

# What is told back as it was asked, with what stands there if it was not.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "previous_response_id": None,
    "temperature": None,
    "top_p": None,
    "top_logprobs": None,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "truncation": "disabled",
    "user": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "background": False,
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Of which request a Response tells; `model` is the name that was asked for."""

    request_id: str
    accepted_at: float
    model: str
    priority: Priority


def response_of(
    origin: Origin,
    asked: Mapping[str, Any],
    status: Standing,
    output: Sequence[Mapping[str, Any]] = (),
    **known: Any,
) -> dict[str, Any]:
    """Return the Response of a request whose body had the members `asked`.

    `known` are the members that are known by now: `usage`, `error`, `incomplete_details`,
    `completed_at`.
    """
    return {
        "id": response_id(origin.request_id),
        "object": "response",
        "created_at": int(origin.accepted_at),
        "status": status,
        "model": origin.model,
        "output": list(output),
        "error": None,
        "incomplete_details": None,
        "usage": None,
        **{name: _given(asked, name, absent) for name, absent in _ECHOED.items()},
        "metadata": _given(asked, "metadata", {}),
        "reasoning": {"effort": None, "summary": None, **_object(asked, "reasoning")},
        "text": {"format": {"type": "text"}, **_object(asked, "text")},
        "tools": _tools(asked),
        "service_tier": tier_of(origin.priority) if asked.get("service_tier") else None,
        **known,
    }


def _given(asked: Mapping[str, Any], name: str, absent: Any) -> Any:
    value = asked.get(name)
    return absent if value is None else value


def _object(asked: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object that was asked for; what a native backend was sent may be anything."""
    value = asked.get(name)
    return value if isinstance(value, dict) else {}


def _tools(asked: Mapping[str, Any]) -> list[Any]:
    tools = asked.get("tools")
    return [_tool(each) for each in tools] if isinstance(tools, list) else []


def _tool(tool: Any) -> Any:
    """Return a tool as it was asked for, with the members that are never left out."""
    if isinstance(tool, dict) and tool.get("type") == "function":
        return {"description": None, "parameters": None, "strict": None, **tool}
    return tool
