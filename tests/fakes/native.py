"""A fake backend's own Responses: ids, numbers and members that are not ours."""

from __future__ import annotations

import json
from typing import Any

USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}


def response(asked: dict[str, Any], nonce: str, status: str = "completed") -> dict[str, Any]:
    """Return the whole Response, or what is told of it before."""
    text = {"type": "output_text", "text": f"native {nonce}", "annotations": []}
    item = {
        "id": "msg_native",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    done = status == "completed"
    return {
        "id": "resp_of_the_backend",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": asked.get("model"),
        "output": [item] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "store": asked.get("store"),
        "previous_response_id": None,
        "metadata": {},
        "usage": USAGE if done else None,
        "error": {"code": "server_error", "message": "it broke"} if status == "failed" else None,
    }


def events(asked: dict[str, Any], nonce: str) -> list[bytes]:
    """Return the events of a stream; the model `native-fails` ends with a failure."""
    at = {"item_id": "msg_native", "output_index": 0, "content_index": 0}
    whole = response(asked, nonce)
    item = whole["output"][0]
    part = item["content"][0]
    told: list[tuple[str, dict[str, Any]]] = [
        (f"response.{kind}", {"response": response(asked, nonce, kind)})
        for kind in ("created", "queued", "in_progress")
    ]
    if asked.get("model") == "native-fails":
        told.append(("response.failed", {"response": response(asked, nonce, "failed")}))
    else:
        empty = {**item, "status": "in_progress", "content": []}
        told += [
            ("response.output_item.added", {"output_index": 0, "item": empty}),
            ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
            ("response.output_text.delta", {**at, "delta": part["text"], "logprobs": []}),
            ("response.output_text.done", {**at, "text": part["text"], "logprobs": []}),
            ("response.content_part.done", {**at, "part": part}),
            ("response.output_item.done", {"output_index": 0, "item": item}),
            ("response.completed", {"response": whole}),
        ]
    return [_event(kind, {"sequence_number": n, **each}) for n, (kind, each) in enumerate(told)]


def _event(kind: str, members: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()
