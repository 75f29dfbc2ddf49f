"""What a stored request tells as a Response, at whatever instant it is asked for; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from schemas.errors import TERMINAL_CODES
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.responses.told import Origin, Standing, response_of
from schemas.result import Result

_STANDING: dict[Status, Standing] = {
    Status.QUEUED: "queued",
    Status.IN_PROGRESS: "in_progress",
    Status.CANCELLED: "cancelled",
    Status.FAILED: "failed",
    Status.EXPIRED: "failed",
}
# OpenAI's list of codes is closed: what is none of these is an error of the server.
_CODES = {400: "invalid_prompt", 422: "invalid_prompt", 429: "rate_limit_exceeded"}


def response_now(record: Record, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Response of `record`, whose body had the members `asked`."""
    if record.status is Status.COMPLETED and record.result is not None:
        whole = response_in(record.result)
        if whole is not None:
            return whole
    status = _STANDING.get(record.status, "failed")
    error = _error(record.result) if status == "failed" else None
    return response_of(origin_of(record, asked), asked, status, error=error)


def origin_of(record: Record, asked: Mapping[str, Any]) -> Origin:
    """Return of which request the Response tells; the model is the one that was asked for."""
    model = str(asked.get("model") or record.model)
    return Origin(record.id, record.accepted_at, model, record.priority)


def response_in(result: Result) -> dict[str, Any] | None:
    """Return the Response that a result holds, whole or as the last event of its stream."""
    body = result.body or b""
    if (result.content_type or "").startswith("text/event-stream"):
        last = body.rstrip(b"\n").rpartition(b"\ndata: ")[2]
        event = _object(last)
        return event and event.get("response")
    return _object(body)


def members_of(asked: bytes | None) -> dict[str, Any]:
    """Return the members of a kept body; none where it is not kept any more."""
    return _object(asked or b"") or {}


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _error(result: Result | None) -> dict[str, Any]:
    if result is None:
        return {"code": "server_error", "message": "Its result is not kept any more."}
    said = (_object(result.body or b"") or {}).get("error")
    message = said.get("message") if isinstance(said, dict) else None
    known = TERMINAL_CODES.get(result.code or "", "It failed.")
    return {
        "code": _CODES.get(result.status_code or 0, "server_error"),
        "message": str(message or result.message or known),
    }
