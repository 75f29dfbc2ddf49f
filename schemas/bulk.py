"""Many requests in one upload: the lines that go up, and those that come down."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from schemas.request import RequestError, SubmitRequest


class BulkLine(SubmitRequest):
    """A line of the body of `POST /v1/requests:bulk`."""

    idempotency_key: str | None = Field(
        None, description="What the header Idempotency-Key is to a request by itself."
    )


class BulkAccepted(BaseModel):
    """The acknowledgement of a line: its request is durable. Lines are counted from 1."""

    line: int
    id: str
    status: Literal["queued", "in_progress", "completed", "failed", "cancelled", "expired"]
    replayed: Literal[True] = Field(True, description="Only where the line repeats a request.")


class BulkRefused(BaseModel):
    """Why a line was not accepted: what a request by itself would have been answered."""

    line: int
    status_code: int
    error: RequestError
    retry_after_s: int = Field(0, description="Only where it helps to wait.")


class BulkSummary(BaseModel):
    """The last line: the body was read to its end. An answer without it was cut short."""

    object: Literal["bulk.summary"]
    accepted: int
    refused: int
