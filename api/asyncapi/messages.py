"""The messages of the AMQP door: what is published to it, and what it replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.openapi import examples
from schemas.priority import PRIORITIES

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean", "default": False}
_ID = {"type": "string", "examples": [examples.REQUEST_ID]}

SENT_PROPERTIES: dict[str, Any] = {
    "user_id": {**_TEXT, "description": "Property. The RabbitMQ user, which is the tenant."},
    "reply_to": {
        **_TEXT,
        "description": "Property. `amq.rabbitmq.reply-to`, a queue that RabbitMQ named, or "
        "`reply.<tenant>.…`. Without it nothing is replied.",
    },
    "correlation_id": {**_TEXT, "description": "Property. Comes back in every reply."},
    "message_id": {
        **_TEXT,
        "maxLength": 255,
        "description": "Property. Idempotency key: the same request is run once.",
    },
    "expiration": {**_TEXT, "description": "Property. Milliseconds until the deadline."},
    "traceparent": {**_TEXT, "description": "Header. W3C trace context."},
    "x-penstock-deadline": {"type": "number", "description": "Header. Unix seconds."},
    "x-penstock-stream": {**_FLAG, "description": "Header. Stream, and reply with each chunk."},
    "x-penstock-progress": {
        **_FLAG,
        "description": "Header. Reply when it is accepted, and while it waits and starts.",
    },
}
REPLIED_PROPERTIES: dict[str, Any] = {
    "correlation_id": {**_TEXT, "description": "Property. That of the request, unchanged."},
    "type": {**_TEXT, "description": "Property. The name of the message."},
    "x-penstock-id": {**_ID, "description": "Header. The request."},
    "x-penstock-status-code": {
        "type": "integer",
        "description": "Header. The backend's HTTP status, or that of the refusal.",
    },
    "x-penstock-seq": {"type": "integer", "description": "Header of a chunk. Its number, from 0."},
}


@dataclass(frozen=True, slots=True)
class Described:
    """One kind of message: `name` is its `type`, `schema` names its payload."""

    name: str
    summary: str
    schema: str
    example: Any


def _ended(status: str) -> dict[str, Any]:
    return {**examples.CANCELLED, "status": status}


REFUSED = {
    "id": None,
    "object": "request",
    "status": "failed",
    "error": {
        "type": "invalid_request_error",
        "code": "model_not_found",
        "message": "This model is not served here.",
        "param": "model",
    },
}
_CHUNK = {
    "id": "chatcmpl-7",
    "object": "chat.completion.chunk",
    "created": 1_764_153_604,
    "model": examples.MODEL,
    "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
}

SENT = {
    "submit": Described(
        "request.submit",
        "A request. `model` and `priority` come from the routing key; where the body repeats them "
        "they must agree.",
        "SubmitRequest",
        examples.SUBMIT,
    ),
    "cancel": Described(
        "request.cancel",
        "Cancel a request; under any routing key that the user may publish to.",
        "CancelMessage",
        {"id": examples.REQUEST_ID},
    ),
}
REPLIED = {
    "accepted": Described(
        "request.accepted",
        "The request is durable (only with x-penstock-progress).",
        "RequestObject",
        examples.QUEUED,
    ),
    "progress": Described(
        "request.progress",
        "Its position has changed, or it has started (only with x-penstock-progress).",
        "RequestObject",
        examples.QUEUED,
    ),
    "chunk": Described(
        "request.chunk",
        "One event of the backend's stream (only with x-penstock-stream).",
        "Chunk",
        _CHUNK,
    ),
    "completed": Described(
        "request.completed", "A backend has answered.", "RequestObject", examples.COMPLETED
    ),
    "failed": Described(
        "request.failed",
        "It has failed for good, or was refused: then `id` is null and `error` says why.",
        "FailedReply",
        REFUSED,
    ),
    "cancelled": Described(
        "request.cancelled", "It was cancelled.", "RequestObject", examples.CANCELLED
    ),
    "expired": Described(
        "request.expired",
        "Its deadline passed before a backend could serve it.",
        "RequestObject",
        _ended("expired"),
    ),
}
PRIORITY_NAMES = [priority.value for priority in PRIORITIES]
