"""The life of a request: its states and the one table of legal transitions.

queued <-> in_progress -> completed | failed | cancelled | expired
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The public status of a request, in OpenAI's words and spelling."""

    QUEUED = "queued"  # accepted and durable; waits for its turn, a retry or its booked time
    IN_PROGRESS = "in_progress"  # claimed by one worker
    COMPLETED = "completed"  # a backend answered 2xx
    FAILED = "failed"  # ended without a usable answer; the error says why
    CANCELLED = "cancelled"  # ended by the client or by its disconnect policy
    EXPIRED = "expired"  # its deadline passed before it was served


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset(
        {
            Status.IN_PROGRESS,
            Status.COMPLETED,  # a commit that outlived its record, or its requeue by the keeper
            Status.FAILED,
            Status.CANCELLED,
            Status.EXPIRED,
        }
    ),
    Status.IN_PROGRESS: frozenset(
        {
            Status.QUEUED,
            Status.COMPLETED,
            Status.FAILED,
            Status.CANCELLED,
            Status.EXPIRED,
        }
    ),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

TERMINAL: frozenset[Status] = frozenset(
    status for status, following in TRANSITIONS.items() if not following
)
