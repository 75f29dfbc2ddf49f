"""Which requests a bulk cancel means."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.filters import Filters


class CancelRequests(Filters):
    """The body of `POST /v1/requests/cancel`: open requests that fit every filter given.

    At least one filter is needed. `after` goes on where an earlier call has stopped.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = Field(None, description="Only this model's.", max_length=200)
    priority: Literal["high", "normal", "low", "batch"] | None = Field(
        None, description="Only this priority's."
    )
    status: Literal["queued", "in_progress"] | None = Field(
        None, description="Only these; without it both."
    )
    created_after: float | None = Field(None, description="Unix seconds, exclusive.", ge=0)
    created_before: float | None = Field(None, description="Unix seconds, exclusive.", ge=0)
    after: str | None = Field(None, description="The `last_id` of the call before.")


class CancelAnyRequests(CancelRequests):
    """The body of `POST /admin/v1/requests/cancel`: the same, of one tenant or of all."""

    tenant: str | None = Field(None, description="Only this tenant's.", max_length=200)
