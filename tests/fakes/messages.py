"""A fake backend's messages in Anthropic's shape."""

from __future__ import annotations

import json
from typing import Any

ENDPOINT = "messages"
USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 4,
    "output_tokens": 2,
}
REFUSAL = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "max_tokens: Field required"},
    "request_id": "req_of_the_backend",
}


def message(model: str, nonce: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that tells what was asked."""
    said = json.dumps(asked.get("messages", ""), ensure_ascii=False)
    return {
        "id": f"msg_{nonce}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": f"echo {said}"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }
