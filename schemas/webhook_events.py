"""The events that the end of a request or of a batch gives rise to. Pure.

Their ids are derived, so that whoever makes them again makes the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from schemas.batches import Batch
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.request import request_object

MAX_EVENT_BODY_BYTES = 64 * 1024
RESPONSES = "/v1/responses"
# Stands for the request of an endpoint's test.
TEST = "test"
_RESPONSE_EVENTS = {
    Status.COMPLETED: "response.completed",
    Status.FAILED: "response.failed",
    Status.EXPIRED: "response.failed",
    Status.CANCELLED: "response.cancelled",
}

_SAMPLES = {
    "batch": {"id": "batch_test", "object": "batch"},
    "request": {"id": "req_test", "object": "request"},
    "response": {"id": "resp_test"},
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `content` is the JSON that is sent."""

    type: str
    content: bytes


def events_of(record: Record) -> Iterator[Event]:
    """Return the events of an ended request."""
    yield _event(record, f"request.{record.status.value}", _told(record))
    if record.endpoint == RESPONSES:
        yield _event(record, _response_type(record), {"id": _response_id(record.id)})


def batch_event(batch: Batch) -> Event:
    """Return the event of a batch that has ended."""
    event_type = f"batch.{batch.status.value}"
    told = {
        "id": batch.id,
        "object": "batch",
        "status": batch.status.value,
        "request_counts": {
            "total": batch.total,
            "completed": batch.counts.completed,
            "failed": batch.counts.failed,
        },
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
    }
    event_id = f"evt_{_digest(batch.id, event_type)}"
    return _enveloped(event_type, event_id, ended_at(batch), told)


def ended_at(batch: Batch) -> float:
    """Return when a batch that has ended did so, in Unix seconds."""
    return batch.times.get(batch.status, batch.terms.created_at)


def sample(event_type: str, event_id: str, created_at: float) -> Event:
    """Return an event of that type about a request that is none, for a receiver's test."""
    return _enveloped(event_type, event_id, created_at, _SAMPLES[event_type.partition(".")[0]])


def post_id(about: str, event_type: str, receiver: str) -> str:
    """Return the `webhook-id` of an event about a request or batch, on its way to a receiver."""
    return f"wh_{_digest(about, event_type, receiver)}"


def _event(record: Record, event_type: str, data: dict[str, Any]) -> Event:
    event_id = f"evt_{_digest(record.id, event_type)}"
    return _enveloped(event_type, event_id, record.finished_at or record.accepted_at, data)


def _enveloped(event_type: str, event_id: str, created_at: float, data: Any) -> Event:
    whole = {
        "id": event_id,
        "object": "event",
        "created_at": int(created_at),
        "type": event_type,
        "data": data,
    }
    return Event(event_type, orjson.dumps(whole))


def _told(record: Record) -> dict[str, Any]:
    """Return the request object; a receiver reads a large answer by the request's id."""
    result = record.result
    if result is not None and len(result.body or b"") > MAX_EVENT_BODY_BYTES:
        record = replace(record, result=replace(result, body=None))
    return request_object(record)


def _response_type(record: Record) -> str:
    if record.status is Status.COMPLETED and _is_incomplete(record):
        return "response.incomplete"
    return _RESPONSE_EVENTS[record.status]


def _is_incomplete(record: Record) -> bool:
    body = record.result.body if record.result is not None else None
    try:
        told = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        # Of a stream: its last event says how it ended.
        return b"\nevent: response.incomplete\n" in b"\n" + (body or b"")
    return isinstance(told, dict) and told.get("status") == "incomplete"


def _response_id(request_id: str) -> str:
    return f"resp_{request_id.removeprefix('req_')}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
