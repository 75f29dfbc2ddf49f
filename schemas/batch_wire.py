"""Batches and files in OpenAI's shape: what a client sends to create one, and what it reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.batch_config import DAY_S, KEPT_S
from schemas.batches import Batch, BatchStatus, BatchUsage, ErrorCodes, LineError, Order
from schemas.completion_window import window_s
from schemas.files import StoredFile
from schemas.request import MAX_METADATA_PAIRS, MetadataKey, MetadataValue
from schemas.webhooks import AskedWebhook

BATCH_PURPOSE = "batch"
# What an upload may be for; only files for batches are used here.
UPLOAD_PURPOSES = (BATCH_PURPOSE, "assistants", "fine-tune", "vision", "user_data", "evals")
LEAST_KEPT_S = 3_600
MOST_KEPT_S = int(KEPT_S)


def _readable_window(text: str) -> str:
    window_s(text)
    return text


class ExpiresAfter(BaseModel):
    """When a file is dropped, counted from when it was made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: Literal["created_at"]
    seconds: int = Field(ge=LEAST_KEPT_S, le=MOST_KEPT_S)


class CreateBatch(BaseModel):
    """The body of `POST /v1/batches`. The fields from `order` on are Penstock's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input_file_id: str = Field(max_length=200, description="A file of the purpose `batch`.")
    endpoint: str = Field(max_length=200, description="The `url` of every line.")
    completion_window: Annotated[str, Field(max_length=40), AfterValidator(_readable_window)] = (
        Field(description="A duration such as 24h, 10m or 1h30m, at most 7d; then it expires.")
    )
    metadata: dict[MetadataKey, MetadataValue] | None = Field(None, max_length=MAX_METADATA_PAIRS)
    output_expires_after: ExpiresAfter | None = None
    order: Order = Field("completion", description="In which order the output's lines stand.")
    error_codes: ErrorCodes | None = Field(
        None,
        description="What `error.code` of a failed line is: a name, or the number of an HTTP "
        "status. The default is the configuration's.",
    )
    include_cancelled: bool = Field(
        default=False, description="Write also the lines that a cancel has kept from starting."
    )
    line_events: bool = Field(
        default=False, description="Tell the end of each line to the registered webhooks."
    )
    webhook: AskedWebhook | None = Field(None, description="Where the end of the batch is told.")


def batch_object(batch: Batch) -> dict[str, Any]:
    """Return the BatchObject of `batch`, ready for JSON."""
    terms, times, counts = batch.terms, batch.times, batch.counts
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": terms.endpoint,
        "model": batch.model,
        "errors": _errors(batch.errors),
        "input_file_id": terms.input_file_id,
        "completion_window": terms.completion_window,
        "status": batch.status.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(terms.created_at),
        "in_progress_at": _second(times.get(BatchStatus.IN_PROGRESS)),
        "expires_at": int(terms.deadline),
        "finalizing_at": _second(times.get(BatchStatus.FINALIZING)),
        "completed_at": _second(times.get(BatchStatus.COMPLETED)),
        "failed_at": _second(times.get(BatchStatus.FAILED)),
        "expired_at": _second(times.get(BatchStatus.EXPIRED)),
        "cancelling_at": _second(times.get(BatchStatus.CANCELLING)),
        "cancelled_at": _second(times.get(BatchStatus.CANCELLED)),
        "request_counts": {
            "total": batch.total,
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "usage": _usage(batch.usage),
        "metadata": dict(terms.metadata),
        "penstock": _beyond_openai(batch),
    }


def file_object(file: StoredFile) -> dict[str, Any]:
    """Return the FileObject of `file`, ready for JSON: usable from the first moment on."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "expires_at": int(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _beyond_openai(batch: Batch) -> dict[str, Any]:
    counts = batch.counts
    fed = counts.ended if batch.terminal else batch.fed.line
    rate = 0.0 if batch.terminal else batch.rate
    return {
        "order": batch.terms.order,
        "error_codes": batch.terms.error_codes,
        "paused": batch.paused,
        "running": max(0, fed - counts.ended),
        "lines_per_s": round(rate, 3),
        "eta_s": _eta_s(batch),
        "cancelled": counts.cancelled,
        "expired": counts.expired,
        "not_started": max(0, batch.total - max(fed, counts.ended)),
        "line_events": batch.terms.line_events,
        "retry_of": batch.terms.retry_of,
    }


def _eta_s(batch: Batch) -> float | None:
    """Return the seconds until the last line has ended, at the rate of late; None if unknown."""
    runs = batch.status in (BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING)
    if not runs or batch.paused or batch.rate <= 0:
        return None
    left_s = max(0, batch.total - batch.counts.ended) / batch.rate
    return round(left_s, 1) if left_s < 366 * DAY_S else None


def _errors(errors: tuple[LineError, ...]) -> dict[str, Any] | None:
    if not errors:
        return None
    data = [
        {"code": each.code, "line": each.line, "message": each.message, "param": each.param}
        for each in errors
    ]
    return {"object": "list", "data": data}


def _usage(usage: BatchUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _second(instant: float | None) -> int | None:
    return None if instant is None else int(instant)
