"""Batches of messages in Anthropic's shape: what is asked, and what is told of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.batches import Batch, BatchStatus
from schemas.ids import message_batch_id

ENDPOINT = "/v1/messages"
PATH = "/v1/messages/batches"
MAX_REQUESTS = 100_000
CUSTOM_ID = r"[a-zA-Z0-9_-]{1,64}"


class MessageParams(BaseModel):
    """The body of a `POST /v1/messages`, passed on as sent; its backend judges the rest of it."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1, max_length=200)]
    stream: Literal[False] | None = None


class MessageRequest(BaseModel):
    """One request of a batch."""

    model_config = ConfigDict(extra="forbid")

    custom_id: Annotated[str, Field(pattern=f"^{CUSTOM_ID}$")]
    params: MessageParams


class CreateMessageBatch(BaseModel):
    """The body of `POST /v1/messages/batches`."""

    model_config = ConfigDict(extra="forbid")

    requests: Annotated[list[MessageRequest], Field(min_length=1, max_length=MAX_REQUESTS)]


class MessageBatchCounts(BaseModel):
    """How many requests there are, by how they have ended; all are `processing` until the end."""

    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class MessageBatch(BaseModel):
    """A batch. Times are RFC 3339; `results_url` is there once it has ended."""

    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: MessageBatchCounts
    created_at: str
    expires_at: str
    ended_at: str | None
    cancel_initiated_at: str | None
    archived_at: None
    results_url: str | None


class MessageBatchList(BaseModel):
    """A page of batches, newest first."""

    data: list[MessageBatch]
    first_id: str | None
    last_id: str | None
    has_more: bool


class MessageBatchDeleted(BaseModel):
    """A batch that is gone with its results."""

    id: str
    type: Literal["message_batch_deleted"]


def message_batch(batch: Batch, base_url: str) -> dict[str, Any]:
    """Return the MessageBatch of `batch`, ready for JSON; its results are below `base_url`."""
    name = message_batch_id(batch.id)
    ended_at = batch.times.get(batch.status) if batch.terminal else None
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": _status(batch),
        "request_counts": _counts(batch),
        "created_at": _instant(batch.terms.created_at),
        "expires_at": _instant(batch.terms.deadline),
        "ended_at": _instant(ended_at),
        "cancel_initiated_at": _instant(batch.times.get(BatchStatus.CANCELLING)),
        "archived_at": None,
        "results_url": f"{base_url}{PATH}/{name}/results" if batch.terminal else None,
    }


def _status(batch: Batch) -> str:
    if batch.terminal:
        return "ended"
    return "canceling" if batch.status is BatchStatus.CANCELLING else "in_progress"


def _counts(batch: Batch) -> dict[str, int]:
    """Return the counts, whose sum is always the number of requests."""
    if not batch.terminal:
        return {
            "processing": batch.total,
            "succeeded": 0,
            "errored": 0,
            "canceled": 0,
            "expired": 0,
        }
    counts = batch.counts
    ended = {
        "succeeded": counts.completed,
        "canceled": counts.cancelled,
        "expired": counts.expired,
    }
    return {"processing": 0, **ended, "errored": max(0, batch.total - sum(ended.values()))}


def _instant(instant: float | None) -> str | None:
    if instant is None:
        return None
    return f"{datetime.fromtimestamp(instant, UTC).replace(tzinfo=None).isoformat()}Z"
