"""How the end of a request is written in Anthropic's dialect: as one result, on one line."""

from __future__ import annotations

from typing import Any

from schemas.anthropic_errors import anthropic_error
from schemas.batches import LineError
from schemas.errors import CALL_ERRORS, DOOR_ERRORS, RequestError
from schemas.record import Record
from workers.batches.one_line import json_value, members_in, one_line, sound_text

_ENDS = {"batch_cancelled": "canceled", "cancelled": "canceled", "batch_expired": "expired"}
_LEAST_ERROR = 400
# So a server answers to a path that it does not have.
_NO_SUCH_PATH = frozenset({404, 405, 501})


def succeeded(record: Record, body: bytes | None) -> bytes:
    """Return the line of a completed request; `body` is the backend's answer."""
    return _line(_custom_id(record), {"type": "succeeded", "message": json_value(body)})


def unsuccessful(record: Record, code: str, message: str, body: bytes | None) -> bytes:
    """Return the line of a request that did not complete; `body` is the last answer, if any.

    An error in Anthropic's shape is told as the backend has answered it.
    """
    if code in _ENDS:
        return unstarted(_custom_id(record) or "", code)
    error = _error(record, code, message, body)
    return _line(_custom_id(record), {"type": "errored", "error": error})


def unstarted(custom_id: str, code: str) -> bytes:
    """Return the line of a request that was cancelled or has expired."""
    return _line(custom_id, {"type": _ENDS[code]})


def mistaken(mistake: LineError) -> bytes:
    """Return the line of a request that cannot be read."""
    known = DOOR_ERRORS.get(mistake.code)
    status = 400 if known is None else known.status
    error = anthropic_error(status, mistake.code, sound_text(mistake.message), mistake.param)
    return _line(mistake.custom_id, {"type": "errored", "error": error})


def _custom_id(record: Record) -> str | None:
    return record.metadata.get("custom_id")


def _error(record: Record, code: str, message: str, body: bytes | None) -> Any:
    result = record.result
    status = result.status_code if result is not None else None
    if status is None or status < _LEAST_ERROR:
        # What the backend has answered is no error, or it has not answered.
        status = RequestError(CALL_ERRORS.get(code, "backend_failed")).status
        return anthropic_error(status, code, sound_text(message), request_id=record.id)
    answer = members_in(body) if body is not None else {}
    told = answer.get("error")
    if answer.get("type") == "error" and isinstance(told, dict):
        return json_value(body)
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        message = f"{told['message']} ({message})"
    if status in _NO_SUCH_PATH:
        message = f"{message}; does this backend serve {record.endpoint}?"
    return anthropic_error(status, code, sound_text(message), request_id=record.id)


def _line(custom_id: str | None, result: dict[str, Any]) -> bytes:
    return one_line({"custom_id": custom_id, "result": result})
