"""The fake model `answers`: what it says follows from what it was asked."""

from __future__ import annotations

import json
from typing import Any

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"city": "Ulm"}'},
}


def said(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the message of a chat: JSON where a form is asked for, a call where there is a tool.

    Else it repeats what the user has said so far, or what the tool has.
    """
    messages = asked.get("messages") or [{}]
    if asked.get("response_format"):
        return {"role": "assistant", "content": json.dumps({"name": "Ulm"})}
    if messages[-1].get("role") == "tool":
        return {"role": "assistant", "content": f"tool said {messages[-1]['content']}"}
    if asked.get("tools"):
        return {"role": "assistant", "content": None, "tool_calls": [CALL]}
    heard = [each["content"] for each in messages if each.get("role") == "user"]
    return {"role": "assistant", "content": f"said: {', '.join(heard)}"}


def deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the message in pieces, as a stream tells it."""
    if calls := message.get("tool_calls"):
        name, arguments = calls[0]["function"]["name"], calls[0]["function"]["arguments"]
        first = {**calls[0], "index": 0, "function": {"name": name, "arguments": ""}}
        rest = [{"index": 0, "function": {"arguments": piece}} for piece in _pieces(arguments)]
        return [{"tool_calls": [call]} for call in (first, *rest)]
    return [{"content": piece} for piece in _pieces(message["content"])]


def _pieces(text: str) -> list[str]:
    return [text[start : start + 4] for start in range(0, len(text), 4)]
