"""The input of a Response as a list of items, each with an id; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
_CALLED = ("function_call", "function_call_output")


def input_of(asked: Mapping[str, Any]) -> list[Any]:
    """Return the items of an input, which may be a mere text."""
    said = asked.get("input")
    if isinstance(said, str):
        return [{"type": "message", "role": "user", "content": said}]
    return list(said) if isinstance(said, Sequence) else []


def listed(request_id: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items as they are listed, in the order they were sent."""
    digits = request_id.removeprefix("req_")
    return [
        _listed(item, f"{_PREFIXES.get(str(_kind(item)), 'item')}_{digits}_in{number}")
        for number, item in enumerate(input_of(asked))
        if isinstance(item, dict)
    ]


def _listed(item: dict[str, Any], item_id: str) -> dict[str, Any]:
    told = {**item, "type": _kind(item), "id": item.get("id") or item_id}
    if told["type"] in (*_CALLED, "message"):
        told["status"] = item.get("status") or "completed"
    if told["type"] == "message" and isinstance(item.get("content"), str):
        told["content"] = [_text(item.get("role"), item["content"])]
    return told


def _kind(item: Mapping[str, Any]) -> Any:
    return item.get("type", "message")


def _text(role: Any, text: str) -> dict[str, Any]:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}
