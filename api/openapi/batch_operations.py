"""The table of the operations of batches."""

from __future__ import annotations

from api.openapi import batch_examples as examples
from api.openapi.operation import EVENT_STREAM, Answer, Operation
from api.openapi.operations import BODY_ERRORS

_TAG = "Batches"
_BASE = "/v1/batches"
_ONE = f"{_BASE}/{{id}}"
_AWAY = ("store_unavailable",)
_FINDING = ("batch_not_found", *_AWAY)

BATCHES = (
    Operation(
        "createBatch",
        "post",
        _BASE,
        _TAG,
        "Create a batch",
        {200: Answer("BatchObject", examples.CREATED, "It is durable; its file is read next.")},
        (
            *BODY_ERRORS,
            "file_not_found",
            "unsupported_endpoint",
            "invalid_webhook_url",
            "idempotency_conflict",
            "storage_full",
            "draining",
            *_AWAY,
        ),
        ("idempotency_key",),
        "CreateBatch",
        examples.CREATE,
        "Each line of the file is a request of the priority `batch`: it waits in the queues of "
        "its model beside live traffic. Lines may ask for different models.",
    ),
    Operation(
        "listBatches",
        "get",
        _BASE,
        _TAG,
        "List your batches, newest first",
        {200: Answer("BatchList", examples.BATCHES)},
        ("invalid_body", *_AWAY),
        ("limit", "after_batch"),
    ),
    Operation(
        "readBatch",
        "get",
        _ONE,
        _TAG,
        "Read a batch",
        {200: Answer("BatchObject", examples.RUNNING)},
        _FINDING,
        ("batch",),
    ),
    Operation(
        "readBatchEvents",
        "get",
        f"{_ONE}/events",
        _TAG,
        "Follow a batch",
        {
            200: Answer(
                {"type": "string"},
                examples.EVENTS,
                "Server-sent events; the connection closes at the end.",
                kind=EVENT_STREAM,
            )
        },
        _FINDING,
        ("batch",),
        description="Events `batch` carry the batch: as it is, whenever it has changed, at most "
        "every 0.5 s, and as it has ended.",
    ),
    Operation(
        "cancelBatch",
        "post",
        f"{_ONE}/cancel",
        _TAG,
        "Cancel a batch; one that has ended stays as it is",
        {200: Answer("BatchObject", examples.CANCELLING)},
        _FINDING,
        ("batch",),
        description="Nothing new starts, what runs is ended, and what had ended is kept in the "
        "output and the error file.",
    ),
    Operation(
        "pauseBatch",
        "post",
        f"{_ONE}/pause",
        _TAG,
        "Start no more lines of a batch; those in the queues go on",
        {200: Answer("BatchObject", examples.PAUSED)},
        _FINDING,
        ("batch",),
        description="Its window goes on as well.",
    ),
    Operation(
        "resumeBatch",
        "post",
        f"{_ONE}/resume",
        _TAG,
        "Go on with a paused batch",
        {200: Answer("BatchObject", examples.RUNNING)},
        _FINDING,
        ("batch",),
    ),
    Operation(
        "retryFailedLines",
        "post",
        f"{_ONE}/retry-failed",
        _TAG,
        "Do the failed lines of a batch again, in a new batch on the same terms",
        {200: Answer("BatchObject", examples.RETRYING, "The new batch.")},
        (
            "batch_not_ended",
            "nothing_failed",
            "file_not_found",
            "idempotency_conflict",
            "blobs_unavailable",
            "storage_full",
            "draining",
            *_FINDING,
        ),
        ("batch", "idempotency_key"),
        description="They are copied into a file of their own: those of the error file, whatever "
        "they failed of.",
    ),
)
