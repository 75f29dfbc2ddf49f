"""Lines of a batch, as its file holds them, and who may be asked for."""

from __future__ import annotations

from typing import Any

import orjson

from schemas.batches import Batch, BatchTerms, LineError
from workers.batches.asked import BadLine

CHAT = "/v1/chat/completions"


def make_terms(**changes: Any) -> BatchTerms:
    """Return the terms of a batch of chat completions for a day, with `changes`."""
    plain: dict[str, Any] = {
        "id": "batch_03" + "0" * 32,
        "tenant": "default",
        "endpoint": CHAT,
        "input_file_id": "file-03" + "1" * 32,
        "completion_window": "24h",
        "created_at": 1_000.0,
        "deadline": 87_400.0,
    }
    return BatchTerms(**{**plain, **changes})


def make_batch(**terms: Any) -> Batch:
    """Return a batch that is validating, with these terms."""
    return Batch(make_terms(**terms))


def make_line(custom_id: Any = "a", **changes: Any) -> dict[str, Any]:
    """Return a line of a chat completion of model `m`, with `changes` of its members."""
    line = {
        "custom_id": custom_id,
        "method": "POST",
        "url": CHAT,
        "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    }
    return {**line, **changes}


def write_lines(*lines: Any) -> bytes:
    """Return a file of these lines."""
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


class TheseModels:
    """Fills Opens: models by name, those of them that their backends serve natively."""

    def __init__(self, *names: str, native: tuple[str, ...] = ()) -> None:
        self._names = names
        self._native = native

    def __call__(self, asked: str) -> str:
        if asked not in self._names:
            raise BadLine(
                LineError("model_not_found", "It is not served here.", param="body.model")
            )
        return asked

    def natively(self, model: str) -> bool:
        return model in self._native

    async def refresh(self) -> None:
        pass
