"""What clients are told by AMQP, as messages; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from broker.ports import Reply
from schemas.envelope import Envelope
from schemas.errors import CALL_ERRORS, DOOR_ERRORS, RequestError
from schemas.packed import packed_of
from schemas.record import Record
from schemas.request import request_object
from schemas.result import Result

JSON = "application/json"
MSGPACK = "application/msgpack"
_ID = "x-penstock-id"
_STATUS_CODE = "x-penstock-status-code"
_SEQ = "x-penstock-seq"
_ACCEPTED = 202
_DATA = b"data:"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked by AMQP: where its replies go, and how it reads them."""

    to: str
    correlation_id: str | None = None
    content_type: str = JSON


def asker_of(asked: Record | Envelope) -> Asker | None:
    """Return who waits for replies about a request; None if nobody does."""
    if asked.reply_to is None:
        return None
    return Asker(asked.reply_to, asked.correlation_id, asked.reply_as or JSON)


def ended(asker: Asker, record: Record) -> Reply:
    """Return the reply about an ended request, or about one as it is now."""
    headers: dict[str, str | int] = {_ID: record.id}
    if record.result is not None:
        headers[_STATUS_CODE] = status_code(record.result)
    kind = f"request.{record.status.value}"
    return _reply(asker, kind, request_object(record), headers)


def accepted(asker: Asker, record: Record, position: int | None, eta_s: float | None) -> Reply:
    """Return the reply that a request is durable, with what it can expect."""
    headers: dict[str, str | int] = {_ID: record.id, _STATUS_CODE: _ACCEPTED}
    return _reply(asker, "request.accepted", request_object(record, position, eta_s), headers)


def progress(asker: Asker, record: Record, position: int | None, eta_s: float | None) -> Reply:
    """Return the reply that an open request has moved."""
    content = request_object(record, position, eta_s)
    return _reply(asker, "request.progress", content, {_ID: record.id})


def chunk(asker: Asker, request_id: str, number: int, data: bytes) -> Reply | None:
    """Return the reply with one event of a streamed answer; None for one without data.

    It holds the data alone, which is the backend's JSON or the text `[DONE]`.
    """
    lines = (line for line in data.splitlines() if line.startswith(_DATA))
    body = b"\n".join(line.removeprefix(_DATA).removeprefix(b" ") for line in lines)
    if not body:
        return None
    if asker.content_type == MSGPACK:
        try:
            body = packed_of(body)
        except ValueError:
            body = packed_of(orjson.dumps(body.decode(errors="replace")))
    headers: dict[str, str | int] = {_ID: request_id, _SEQ: number}
    return Reply(asker.to, "request.chunk", body, asker.content_type, asker.correlation_id, headers)


def refused(asker: Asker, error: RequestError) -> Reply:
    """Return the reply that a message was refused; there is no request then."""
    content = {"id": None, "object": "request", "status": "failed", **error.as_dict()}
    return _reply(asker, "request.failed", content, {_STATUS_CODE: error.status})


def status_code(result: Result) -> int:
    """Return the HTTP status that a held call would have been answered with."""
    if result.passed_on is not None:
        return result.passed_on
    return DOOR_ERRORS[CALL_ERRORS.get(result.code or "", "backend_failed")].status


def _reply(
    asker: Asker, kind: str, content: dict[str, Any], headers: Mapping[str, str | int]
) -> Reply:
    body = orjson.dumps(content)
    if asker.content_type == MSGPACK:
        try:
            body = packed_of(body)
        except ValueError:
            # Nested more deeply than msgpack goes; GET /v1/requests/{id}/response has it.
            body = packed_of(orjson.dumps({**content, "response": None}))
    return Reply(asker.to, kind, body, asker.content_type, asker.correlation_id, headers)
