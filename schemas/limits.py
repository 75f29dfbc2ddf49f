"""The part of the configuration that says how much may run, and who goes next."""

from __future__ import annotations

from pydantic import Field, model_validator

from schemas.section import Section

_DAY_S = 86_400
# The rest is left to whoever comes first.
_MOST_OWED = 0.5


class Rates(Section):
    """How much may be started in a minute: a bucket that holds one minute's worth and refills."""

    rpm: int | None = Field(
        None, ge=1, le=1_000_000_000, description="requests a minute; those beyond it wait"
    )
    tpm: int | None = Field(
        None, ge=1, le=1_000_000_000_000, description="tokens a minute, input and output"
    )


class Limits(Rates):
    """Rates, and how many requests may run at once."""

    max_parallel_requests: int | None = Field(
        None, ge=1, le=100_000, description="requests that run at once; those beyond it wait"
    )


class AdaptiveConcurrency(Section):
    """Calls in flight on one replica, found out between two bounds."""

    min: int = Field(1, ge=1, le=100_000, description="never fewer calls in flight on a replica")
    max: int = Field(ge=1, le=100_000, description="never more calls in flight on a replica")

    @model_validator(mode="after")
    def _in_order(self) -> AdaptiveConcurrency:
        if self.min > self.max:
            raise ValueError("min must not be above max")
        return self


class ClassConfig(Section):
    """What a priority below `high` is owed."""

    share: float = Field(
        ge=0, le=0.5, description="of all starts, once its oldest waits longer than the target"
    )
    target_wait_s: float = Field(
        ge=0, le=7 * _DAY_S, description="a longer wait gives it its share, whatever else waits"
    )


class BatchClassConfig(ClassConfig):
    """What `batch` is owed, and what it leaves to the others."""

    share: float = Field(
        0.03125, ge=0, le=0.5, description="of all starts, once its oldest waits over the target"
    )
    target_wait_s: float = Field(
        _DAY_S,
        ge=0,
        le=7 * _DAY_S,
        description="a longer wait gives it its share, whatever else waits",
    )
    most_slots: float = Field(
        0.75,
        gt=0,
        le=1,
        description="of a backend's slots, at least one: what `batch` may hold while anything "
        "above it was started there in the last 60 s; 1 leaves nothing to the others",
    )


class SchedulingConfig(Section):
    """Who goes next: `high` first, but for the shares of the others, at most half of all starts."""

    normal: ClassConfig = Field(
        ClassConfig(share=0.125, target_wait_s=30), description="the share of `normal`"
    )
    low: ClassConfig = Field(
        ClassConfig(share=0.0625, target_wait_s=600), description="the share of `low`"
    )
    batch: BatchClassConfig = Field(
        BatchClassConfig(), description="the share of `batch`, and what it leaves to the others"
    )

    @model_validator(mode="after")
    def _leaves_half(self) -> SchedulingConfig:
        together = self.normal.share + self.low.share + self.batch.share
        if together > _MOST_OWED:
            raise ValueError(f"the shares are {together:g} of all starts together; at most 0.5")
        return self
