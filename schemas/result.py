"""The stored outcome of a request, success or failure, and its bytes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import msgpack

from schemas.lifecycle import Status

MAX_RESULT_BYTES = 64 * 1024 * 1024
# So many of a stored result's first bytes hold all but its body, unless its message is huge.
HEAD_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt consumed, in tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Result:
    """How a request ended; `status` is terminal.

    `code` and `message` say why it did not complete. `status_code`, `content_type` and `body` are
    the backend's last answer, byte for byte, where there was one: a final 4xx sets both. Of a
    stream, `first_event` is the number of the first event in `body`. A large body of `body_bytes`
    lies in the blob `body_blob`, and `body` is None until somebody fetches it.
    """

    status: Status
    finished_at: float
    code: str | None = None
    message: str | None = None
    status_code: int | None = None
    content_type: str | None = None
    body: bytes | None = None
    usage: Usage | None = None
    backend: str | None = None
    backend_model: str | None = None
    first_event: int = 0
    body_blob: str | None = None
    body_bytes: int = 0

    @property
    def passed_on(self) -> int | None:
        """The status of the backend's answer where a call gets it; None: it gets words of ours."""
        by_backend = self.status is Status.COMPLETED or self.code == "backend_failed"
        return self.status_code if by_backend else None


def encode_result(result: Result) -> bytes:
    """Return the bytes of `result`: msgpack, the body as it came and last (see `decode_head`)."""
    usage = result.usage
    packed: bytes = msgpack.packb(
        {
            "status": result.status,
            "finished_at": result.finished_at,
            "code": result.code,
            "message": result.message,
            "status_code": result.status_code,
            "content_type": result.content_type,
            "usage": usage and (usage.input_tokens, usage.output_tokens, usage.total_tokens),
            "backend": result.backend,
            "backend_model": result.backend_model,
            # An older version knows no streams and no blobs, and no such fields.
            **({"first_event": result.first_event} if result.first_event else {}),
            **_blob(result),
            "body": result.body,
        }
    )
    return packed


def decode_result(data: bytes) -> Result:
    """Return the result in `data`, which only `encode_result` may have written."""
    return _result(msgpack.unpackb(data, max_bin_len=MAX_RESULT_BYTES))


def decode_head(data: bytes) -> Result:
    """Return the result without its body from its first HEAD_BYTES, or from all of its bytes.

    What does not fit in them is left out.
    """
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    fields: dict[str, Any] = {}
    with contextlib.suppress(msgpack.OutOfData):
        for _ in range(unpacker.read_map_header()):
            name = unpacker.unpack()
            fields[name] = unpacker.unpack()
    return _result({**fields, "body": None})


def _blob(result: Result) -> dict[str, Any]:
    if result.body_blob is None:
        return {}
    return {"body_blob": result.body_blob, "body_bytes": result.body_bytes}


def _result(fields: dict[str, Any]) -> Result:
    usage = fields.pop("usage", None)
    return Result(
        **{**fields, "status": Status(fields["status"])},
        usage=Usage(*usage) if usage else None,
    )
