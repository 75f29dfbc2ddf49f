"""The table of the operations of batches of messages, and its examples."""

from __future__ import annotations

from typing import Any

from api.openapi.examples import MODEL
from api.openapi.operation import Answer, Operation
from api.openapi.operations import BODY_ERRORS
from schemas.message_batches import PATH

_TAG = "Message batches"
_ONE = f"{PATH}/{{id}}"
_AWAY = ("store_unavailable",)
_FINDING = ("batch_not_found", *_AWAY)
_LINES = "application/x-jsonl"

MESSAGE_BATCH_ID = "msgbatch_0dadbc8ebfa82e7f39379cea624ace5ae9"
_CREATE: dict[str, Any] = {
    "requests": [
        {
            "custom_id": "fruit-1",
            "params": {
                "model": MODEL,
                "max_tokens": 64,
                "messages": [{"role": "user", "content": "Name a fruit."}],
            },
        }
    ]
}
_CREATED: dict[str, Any] = {
    "id": MESSAGE_BATCH_ID,
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {
        "processing": 1,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    },
    "created_at": "2025-11-26T10:40:00.250000Z",
    "expires_at": "2025-11-27T10:40:00.250000Z",
    "ended_at": None,
    "cancel_initiated_at": None,
    "archived_at": None,
    "results_url": None,
}
_CANCELING: dict[str, Any] = {
    **_CREATED,
    "processing_status": "canceling",
    "cancel_initiated_at": "2025-11-26T10:40:02.500000Z",
}
_ENDED: dict[str, Any] = {
    **_CREATED,
    "processing_status": "ended",
    "request_counts": {
        "processing": 0,
        "succeeded": 1,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    },
    "ended_at": "2025-11-26T10:40:04.750000Z",
    "results_url": f"http://127.0.0.1:8080{PATH}/{MESSAGE_BATCH_ID}/results",
}
_LIST: dict[str, Any] = {
    "data": [_ENDED],
    "first_id": MESSAGE_BATCH_ID,
    "last_id": MESSAGE_BATCH_ID,
    "has_more": False,
}
_DELETED = {"id": MESSAGE_BATCH_ID, "type": "message_batch_deleted"}
_RESULTS = (
    '{"custom_id": "fruit-1", "result": {"type": "succeeded", "message": {"type": "message", '
    '"role": "assistant", "content": [{"type": "text", "text": "Banana."}], "usage": '
    '{"input_tokens": 12, "output_tokens": 2}}}}\n'
)

MESSAGE_BATCHES = (
    Operation(
        "createMessageBatch",
        "post",
        PATH,
        _TAG,
        "Create a batch of messages",
        {200: Answer("MessageBatch", _CREATED, "It is durable, and begins at once.")},
        (
            *BODY_ERRORS,
            "streaming_unsupported",
            "model_not_found",
            "model_not_allowed",
            "file_too_large",
            "tenant_files_full",
            "idempotency_conflict",
            "storage_full",
            "blobs_unavailable",
            "draining",
            *_AWAY,
        ),
        ("idempotency_key",),
        "CreateMessageBatch",
        _CREATE,
        "At most 100,000 requests and 256 MiB. `params` is the body of a `POST /v1/messages`: "
        "every byte of it reaches the backend as sent, but for the model's name. They may ask for "
        "different models; each is a request of the priority `batch`, due within 24 hours.",
    ),
    Operation(
        "listMessageBatches",
        "get",
        PATH,
        _TAG,
        "List your batches of messages, newest first",
        {200: Answer("MessageBatchList", _LIST)},
        ("invalid_body", *_AWAY),
        ("message_batch_limit", "after_id", "before_id"),
    ),
    Operation(
        "readMessageBatch",
        "get",
        _ONE,
        _TAG,
        "Read a batch of messages",
        {200: Answer("MessageBatch", _ENDED)},
        _FINDING,
        ("message_batch",),
    ),
    Operation(
        "deleteMessageBatch",
        "delete",
        _ONE,
        _TAG,
        "Delete a batch that has ended, with its requests and results",
        {200: Answer("MessageBatchDeleted", _DELETED)},
        ("batch_not_ended", *_FINDING),
        ("message_batch",),
    ),
    Operation(
        "cancelMessageBatch",
        "post",
        f"{_ONE}/cancel",
        _TAG,
        "Cancel a batch; one that has ended stays as it is",
        {200: Answer("MessageBatch", _CANCELING)},
        _FINDING,
        ("message_batch",),
    ),
    Operation(
        "readMessageBatchResults",
        "get",
        f"{_ONE}/results",
        _TAG,
        "The results of a batch that has ended, one on each line",
        {200: Answer({"type": "string"}, _RESULTS, "Every request has one.", kind=_LINES)},
        ("results_not_ready", "file_not_found", "blobs_unavailable", *_FINDING),
        ("message_batch",),
    ),
)
