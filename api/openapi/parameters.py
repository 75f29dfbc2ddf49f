"""The parameters and answer headers of the document, by name."""

from __future__ import annotations

from typing import Any, Final

from schemas.lifecycle import Status
from schemas.priority import PRIORITIES


def _parameter(place: str, name: str, schema: dict[str, Any], said: str) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "schema": schema, "description": said, **required}


def _id(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def _limit(*, most: int, default: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return _parameter("query", "limit", schema, "How many to return.")


def _after(pattern: str) -> dict[str, Any]:
    return _parameter("query", "after", _id(pattern), "The last id of the page before.")


_TEXT: Final = {"type": "string"}
_PRIORITY: Final = {"type": "string", "enum": [each.value for each in PRIORITIES]}
_INSTANT: Final = {"type": "number", "minimum": 0}

PARAMETERS: dict[str, dict[str, Any]] = {
    "id": _parameter(
        "path",
        "id",
        _id("^(req|resp)_[0-9a-f]{34}$"),
        "A request's id; a Response has the same digits.",
    ),
    "name": _parameter("path", "name", _TEXT, "A model's name or alias; it may hold slashes."),
    "backend": _parameter("path", "name", _TEXT, "A backend's name."),
    "wait": _parameter(
        "query",
        "wait",
        {"type": "number", "default": 0},
        "Seconds to wait for the end, 0 to 60; larger is clamped.",
    ),
    "limit": _limit(most=100, default=20),
    "after": _after("^req_[0-9a-f]{34}$"),
    "after_item": _parameter("query", "after", _TEXT, "The last id of the page before."),
    "streams": _parameter(
        "query", "stream", {"type": "boolean", "default": False}, "Whether to read its events."
    ),
    "order": _parameter(
        "query",
        "order",
        {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
        "By creation: desc is newest first.",
    ),
    "status": _parameter(
        "query",
        "status",
        {"type": "array", "items": {"type": "string", "enum": [each.value for each in Status]}},
        "Only these, separated by commas.",
    )
    | {"style": "form", "explode": False},
    "model": _parameter("query", "model", _TEXT, "Only this model's."),
    "priority": _parameter("query", "priority", _PRIORITY, "Only this priority's."),
    "tenant": _parameter("query", "tenant", _TEXT, "Only this tenant's."),
    "created_after": _parameter("query", "created_after", _INSTANT, "Unix seconds, exclusive."),
    "created_before": _parameter("query", "created_before", _INSTANT, "Unix seconds, exclusive."),
    "idempotency_key": _parameter(
        "header",
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        "The same key and body is the same request, submitted once.",
    ),
    "bulk_key": _parameter(
        "header",
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        "Gives line 7 the key `KEY-7`, and so on, where it names none itself.",
    ),
    "prefer": _parameter(
        "header",
        "Prefer",
        {"type": "string", "enum": ["respond-async"]},
        "`respond-async` answers 202 with the request object at once (RFC 7240).",
    ),
    "x_priority": _parameter(
        "header", "x-penstock-priority", {**_PRIORITY, "default": "normal"}, "The request's class."
    ),
    "x_timeout": _parameter(
        "header",
        "x-penstock-timeout-s",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 604800, "default": 600},
        "Seconds until the deadline.",
    ),
    "x_on_disconnect": _parameter(
        "header",
        "x-penstock-on-disconnect",
        {"type": "string", "enum": ["cancel", "finish"], "default": "cancel"},
        "What becomes of the request when the caller hangs up.",
    ),
    "x_restart": _parameter(
        "header",
        "x-penstock-restart",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
        "Whether the stream may begin anew, with the event `request.restarted`, once a part of it "
        "was shown and its backend or worker is gone.",
    ),
    "starting_after": _parameter(
        "query",
        "starting_after",
        {"type": "integer", "minimum": 0},
        "The number of the last event that you have; without it: from the start.",
    ),
    "last_event_id": _parameter(
        "header",
        "Last-Event-ID",
        {"type": "integer", "minimum": 0},
        "The same, as browsers send it; both and different is refused.",
    ),
    "webhook_endpoint": _parameter("path", "id", _id("^we_[0-9a-f]{32}$"), "An endpoint's id."),
    "webhook_delivery": _parameter("path", "id", _id("^wh_[0-9a-f]{32}$"), "Its `webhook-id`."),
    "after_webhook": _after("^w[eh]_[0-9a-f]{32}$"),
    "of_endpoint": _parameter(
        "query", "webhook_endpoint_id", _TEXT, "Only those to this endpoint."
    ),
    "of_request": _parameter("query", "request_id", _TEXT, "Only those of this request."),
    "delivery_status": _parameter(
        "query",
        "status",
        {"type": "string", "enum": ["pending", "delivered", "failed", "dropped"]},
        "Only these.",
    ),
    "file": _parameter("path", "id", _id("^file-[0-9a-f]{34}$"), "A file's id."),
    "file_limit": _limit(most=10000, default=10000),
    "after_file": _after("^file-0[0-9a-f]{33}$"),
    "purpose": _parameter("query", "purpose", _TEXT, "Only those of this purpose."),
    "range": _parameter(
        "header", "Range", _TEXT, "`bytes=0-999`; of a set of ranges the whole is answered."
    ),
    "if_range": _parameter(
        "header", "If-Range", _TEXT, "The `ETag` of what you have: of another state, the whole."
    ),
    "batch": _parameter("path", "id", _id("^batch_[0-9a-f]{34}$"), "A batch's id."),
    "after_batch": _after("^batch_0[0-9a-f]{33}$"),
    "message_batch": _parameter("path", "id", _id("^msgbatch_[0-9a-f]{34}$"), "A batch's id."),
    "message_batch_limit": _limit(most=1000, default=20),
    "after_id": _parameter(
        "query", "after_id", _id("^msgbatch_0[0-9a-f]{33}$"), "The `last_id` of the page before."
    ),
    "before_id": _parameter(
        "query",
        "before_id",
        _id("^msgbatch_0[0-9a-f]{33}$"),
        "The `first_id` of the page behind; not with `after_id`.",
    ),
    "traceparent": _parameter(
        "header", "traceparent", _TEXT, "W3C trace context, passed on to the backend."
    ),
}

PAGE = ("limit", "after", "order")
CALL = (
    "idempotency_key",
    "prefer",
    "x_priority",
    "x_timeout",
    "x_on_disconnect",
    "traceparent",
)

STREAMED_CALL = (*CALL, "x_restart")

HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "Where to read the request.", "schema": _TEXT},
    "x-request-id": {"description": "The request's id.", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "`true` when this request had been submitted before.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Preference-Applied": {
        "description": "`respond-async` when it was asked for.",
        "schema": _TEXT,
    },
    "Accept-Ranges": {"description": "`bytes`.", "schema": _TEXT},
    "Content-Disposition": {"description": "To be saved, under its name.", "schema": _TEXT},
    "Content-Range": {"description": "Which bytes these are, and of how many.", "schema": _TEXT},
    "ETag": {"description": "Another one for each state of the file.", "schema": _TEXT},
    "x-incomplete": {
        "description": "`true` while a batch still writes to the file.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "x-penstock-backend": {"description": "The backend that answered.", "schema": _TEXT},
    "x-penstock-attempts": {"description": "How many calls it took.", "schema": _TEXT},
    "x-penstock-queue-ms": {
        "description": "Milliseconds from acceptance to the first start.",
        "schema": _TEXT,
    },
    "x-penstock-overhead-ms": {
        "description": "Milliseconds that Penstock added beside the queue.",
        "schema": _TEXT,
    },
}
ACCEPTED_HEADERS = ("Location", "x-request-id", "Idempotent-Replayed", "Preference-Applied")
ANSWERED_HEADERS = (
    "x-request-id",
    "Idempotent-Replayed",
    "x-penstock-backend",
    "x-penstock-attempts",
    "x-penstock-queue-ms",
    "x-penstock-overhead-ms",
)
