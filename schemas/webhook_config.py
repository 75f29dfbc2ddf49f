"""The section `webhooks` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from schemas.destinations import AllowList
from schemas.section import Section

DAY_S = 86_400.0

Pause = Annotated[float, Field(ge=0, le=7 * DAY_S)]


class WebhooksConfig(Section):
    """Where webhooks may go, and how often each is tried."""

    allow: list[str] = Field(
        [],
        max_length=1_000,
        description="hosts, host:ports and networks (CIDR) that may be private, on any port and "
        "plain http; all others are public, and https on 443 or 8443",
    )
    timeout_s: float = Field(15, gt=0, le=30, description="one attempt")
    retry_s: list[Pause] = Field(
        [0, 5, 30, 120, 600, 3_600, 21_600, 86_400],
        min_length=1,
        max_length=20,
        description="the pause before each attempt, in seconds; after the last one it has failed",
    )

    @field_validator("allow")
    @classmethod
    def _readable(cls, allow: list[str]) -> list[str]:
        AllowList(allow)
        return allow
