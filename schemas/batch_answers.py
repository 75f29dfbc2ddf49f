"""What the routes of files and batches answer, in OpenAI's shapes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from schemas.batches import BatchStatus, ErrorCodes, Order


class FileObject(BaseModel):
    """A file. `status` is `processed` at once: there is nothing to wait for."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["processed"]
    status_details: None


class FileList(BaseModel):
    """A page of files."""

    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """A file that is gone."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class BatchError(BaseModel):
    """What is wrong with a batch's file; `line` counts from 1, null where it is the whole file."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(BaseModel):
    """The first mistakes in a batch's file; the error file has all of them."""

    object: Literal["list"]
    data: list[BatchError]


class BatchCounts(BaseModel):
    """How many lines there are, and how many stand in the output and in the error file."""

    total: int
    completed: int
    failed: int


class CachedTokens(BaseModel):
    """Those of the input that a backend had read before."""

    cached_tokens: int


class ReasoningTokens(BaseModel):
    """Those of the output that are not shown."""

    reasoning_tokens: int


class BatchTokens(BaseModel):
    """The tokens of the completed lines."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class BatchProgress(BaseModel):
    """What OpenAI's object does not tell.

    `running` are lines in the queues or at a backend. `cancelled` and `expired` are those of
    `failed` that ended so; `not_started` are those that wait in the file, or have stayed there.
    `eta_s` is null where it is not known.
    """

    order: Order
    error_codes: ErrorCodes
    paused: bool
    running: int
    lines_per_s: float
    eta_s: float | None
    cancelled: int
    expired: int
    not_started: int
    line_events: bool
    retry_of: str | None


class BatchObject(BaseModel):
    """A batch. Instants are Unix seconds; the files can be read while it runs."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchCounts
    usage: BatchTokens
    metadata: dict[str, str]
    penstock: BatchProgress


class BatchList(BaseModel):
    """A page of batches, newest first."""

    object: Literal["list"]
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
