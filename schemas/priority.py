"""The four priorities, by name: integers can be read backwards, names cannot."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """The class of a request; each has its own queues and `high` is served first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    BATCH = "batch"


class Lane(StrEnum):
    """Where a request waits inside its model and priority: a flood meets only other floods."""

    OPEN = "open"
    FLOOD = "flood"


PRIORITIES: tuple[Priority, ...] = tuple(Priority)
RANK: dict[Priority, int] = {priority: rank for rank, priority in enumerate(PRIORITIES)}
_TIERS = {Priority.HIGH: "priority", Priority.NORMAL: "default"}


def tier_of(priority: Priority) -> str:
    """Return the `service_tier` in OpenAI's words that stands for a priority."""
    return _TIERS.get(priority, "flex")
