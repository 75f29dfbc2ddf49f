"""The table of all operations that clients call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.auth import Access
from api.openapi import examples, stream_examples
from api.openapi.operation import EVENT_STREAM, Answer, Operation
from api.openapi.parameters import (
    ACCEPTED_HEADERS,
    ANSWERED_HEADERS,
    CALL,
    PAGE,
    STREAMED_CALL,
)

BODY_ERRORS = (
    "invalid_json",
    "invalid_body",
    "duplicate_key",
    "body_too_large",
    "unsupported_media_type",
)
ACCEPTING = (
    "streaming_unsupported",
    "invalid_deadline",
    "model_not_found",
    "model_not_allowed",
    "idempotency_conflict",
    "queue_full",
    "tenant_queue_full",
    "deadline_unreachable",
    "queue_unavailable",
    "store_unavailable",
    "blobs_unavailable",
    "storage_full",
    "not_accepted",
    "draining",
)
ENDED = (
    "backend_failed",
    "backend_invalid_response",
    "backend_timeout",
    "deadline_exceeded",
    "request_cancelled",
    "body_lost",
    "result_lost",
)
READING = ("request_not_found", "store_unavailable")
# Of what tells a result however large it is.
WHOLE = ("result_lost", "blobs_unavailable")
TIER = {
    "type": ["string", "null"],
    "enum": ["auto", "default", "flex", "priority", "fast", "scale", None],
    "description": "OpenAI's name of a priority.",
}
_OBJECT = {"type": "object", "additionalProperties": True}
_OPENAI = "OpenAI's own shape; every byte reaches the backend as sent, but for the model's name."
_STREAMS = (
    " With `stream: true` the answer comes as server-sent events, each numbered by its `id`; one "
    "that fails before anything is shown is answered as without a stream, if that is within 3 s. "
    "Of the headers below a stream has only `x-request-id` and `Idempotent-Replayed`."
)
_EVENTS = (
    "Named events `request.queued`, `request.in_progress` and at the end `request.completed`, "
    "`request.failed`, `request.cancelled` or `request.expired` carry the request; events without "
    "a name are the backend's own, numbered by their `id`. `request.restarted` says that all "
    "before it is void; `error` that the stream breaks off. Any number of readers, any time "
    "within the request's retention, by any api process."
)

CANCELS_SOME = (
    "One call cancels at most 1,000, the newest first, and takes some seconds. While `has_more` is "
    "true, call again with `after` set to `last_id`."
)

ACCEPTED = Answer(
    "RequestWhole",
    examples.QUEUED,
    "Accepted, where `Prefer: respond-async` asks for that.",
    ACCEPTED_HEADERS,
)


def _asking(fields: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "model": {"type": "string", "minLength": 1, "maxLength": 200},
            "service_tier": TIER,
        },
        "required": ["model", *fields],
        "additionalProperties": True,
    }


def held(
    operation_id: str,
    path: str,
    summary: str,
    body: Any,
    examples_: Sequence[Any],
    streamed: str | None = None,
) -> Operation:
    """Return the operation of an endpoint in a dialect; `streamed` shows its stream, if any."""
    asked, answered = examples_
    return Operation(
        operation_id,
        "post",
        path,
        "Calls",
        summary,
        {
            200: Answer(
                _OBJECT,
                answered,
                "The backend's answer, as it came.",
                ANSWERED_HEADERS,
                streamed=streamed,
            ),
            202: ACCEPTED,
        },
        (*BODY_ERRORS, *ACCEPTING, *ENDED),
        CALL if streamed is None else STREAMED_CALL,
        body,
        asked,
        f"Held open until the request has ended. {_OPENAI}{'' if streamed is None else _STREAMS}",
    )


CALLS = (
    held(
        "createChatCompletion",
        "/v1/chat/completions",
        "Chat",
        _asking(["messages"]),
        (examples.CHAT, examples.CHAT_ANSWER),
        stream_examples.CHAT_STREAM,
    ),
    held(
        "createCompletion",
        "/v1/completions",
        "Completion of a text",
        _asking(["prompt"]),
        (examples.COMPLETION, examples.COMPLETION_ANSWER),
        stream_examples.COMPLETION_STREAM,
    ),
    held(
        "createEmbedding",
        "/v1/embeddings",
        "Embeddings",
        _asking(["input"]),
        (examples.EMBEDDING, examples.EMBEDDING_ANSWER),
    ),
)

REQUESTS = (
    Operation(
        "submitRequest",
        "post",
        "/v1/requests",
        "Requests",
        "Submit a request",
        {
            202: Answer(
                "RequestWhole",
                examples.QUEUED,
                "The request is durable and will end exactly once.",
                ACCEPTED_HEADERS,
            )
        },
        (
            *BODY_ERRORS,
            "model_mismatch",
            "unsupported_endpoint",
            "unsupported_parameter",
            "previous_response_not_found",
            "not_finished",
            "invalid_webhook_url",
            *ACCEPTING,
        ),
        ("idempotency_key", "traceparent"),
        "SubmitRequest",
        examples.SUBMIT,
    ),
    Operation(
        "listRequests",
        "get",
        "/v1/requests",
        "Requests",
        "List your requests",
        {200: Answer("RequestList", examples.REQUEST_LIST)},
        ("invalid_body", "store_unavailable"),
        (*PAGE, "status", "model", "priority", "created_after", "created_before"),
    ),
    Operation(
        "readRequest",
        "get",
        "/v1/requests/{id}",
        "Requests",
        "Read a request, or wait for its end",
        {200: Answer("RequestWhole", examples.COMPLETED, headers=("x-request-id",))},
        ("invalid_body", *READING),
        ("id", "wait"),
    ),
    Operation(
        "readEvents",
        "get",
        "/v1/requests/{id}/events",
        "Requests",
        "Follow a request: its states, and its stream from any number",
        {
            200: Answer(
                {"type": "string"},
                stream_examples.EVENTS,
                "Server-sent events; the connection closes at the end.",
                ("x-request-id",),
                EVENT_STREAM,
            )
        },
        ("invalid_body", *READING),
        ("id", "starting_after", "last_event_id"),
        description=_EVENTS,
    ),
    Operation(
        "readResponse",
        "get",
        "/v1/requests/{id}/response",
        "Requests",
        "The backend's answer alone: its bytes, type and status",
        {200: Answer({}, examples.CHAT_ANSWER, "As the backend sent it.", ANSWERED_HEADERS, "*/*")},
        (
            "not_finished",
            "not_accepted",
            "model_not_found",
            "blobs_unavailable",
            *READING,
            *ENDED,
        ),
        ("id",),
    ),
    Operation(
        "cancelRequest",
        "post",
        "/v1/requests/{id}/cancel",
        "Requests",
        "Cancel a request; one that has ended stays as it is",
        {200: Answer("RequestWhole", examples.CANCELLED, headers=("x-request-id",))},
        READING,
        ("id",),
    ),
    Operation(
        "cancelRequests",
        "post",
        "/v1/requests/cancel",
        "Requests",
        "Cancel all of your open requests that fit a filter",
        {200: Answer("RequestsCancelled", examples.REQUESTS_CANCELLED)},
        (*BODY_ERRORS, "store_unavailable"),
        body="CancelRequests",
        example=examples.CANCEL,
        description=CANCELS_SOME,
    ),
)

MODELS = (
    Operation(
        "listModels",
        "get",
        "/v1/models",
        "Models",
        "The models that your key opens",
        {200: Answer("ModelList", examples.MODEL_LIST)},
        ("queue_unavailable", "store_unavailable"),
    ),
    Operation(
        "readModel",
        "get",
        "/v1/models/{name}",
        "Models",
        "One model",
        {200: Answer("Model", examples.MODEL_ITEM)},
        ("model_not_found", "queue_unavailable", "store_unavailable"),
        ("name",),
    ),
)

HEALTH = (
    Operation(
        "live",
        "get",
        "/live",
        "Health",
        "The event loop turns",
        {200: Answer("Alive", examples.ALIVE)},
        access=Access.OPEN,
    ),
    *(
        Operation(
            operation_id,
            "get",
            path,
            "Health",
            "A request could be accepted and served now",
            {
                200: Answer("Health", examples.READY),
                503: Answer("Health", examples.UNREADY, "It could not; `checks` says why."),
            },
            access=Access.OPEN,
        )
        for operation_id, path in (("ready", "/ready"), ("health", "/health"))
    ),
    Operation(
        "metrics",
        "get",
        "/metrics",
        "Health",
        "This process's metrics for Prometheus",
        {200: Answer({"type": "string"}, None, kind="text/plain")},
        access=Access.OPEN,
    ),
)

DOCUMENTS = (
    Operation(
        "asyncapi",
        "get",
        "/asyncapi.json",
        "Documents",
        "The AMQP door, as an AsyncAPI 3 document",
        {200: Answer({"type": "object"}, None)},
        description="The embedded engine has no RabbitMQ, so nobody listens at that door there.",
        access=Access.OPEN,
    ),
)


def passed_through(endpoint: str) -> Operation:
    """Return the operation of a configured endpoint."""
    name = "".join(
        part.title() for part in endpoint.removeprefix("/v1/").replace("-", "/").split("/")
    )
    return Operation(
        f"pass{name}",
        "post",
        endpoint,
        "Calls",
        f"Pass a call through to the backend's {endpoint.removeprefix('/v1')}",
        {
            200: Answer({}, None, "The backend's answer, as it came.", ANSWERED_HEADERS, "*/*"),
            202: ACCEPTED,
        },
        (*BODY_ERRORS, *ACCEPTING, *ENDED),
        CALL,
        _asking([]),
        examples.PASSED_THROUGH,
        more_bodies={
            "multipart/form-data": {
                "type": "object",
                "properties": {"model": {"type": "string"}},
                "required": ["model"],
            }
        },
    )
