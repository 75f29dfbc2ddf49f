"""What follows a failed attempt: another replica now, a later turn, or the end.

The classes of failures are one table; the decision is a function of the class and the count.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RETRY_DELAY_S = 5.0


class Failure(Enum):
    """How a call to a backend went wrong."""

    REFUSED = "refused"  # a final 4xx: the request itself is at fault
    UNREACHABLE = "unreachable"  # no connection, or it broke
    BUSY = "busy"  # 408, 409, 425, 429 and every 5xx
    TIMED_OUT = "timed_out"  # no whole answer in the attempt's time
    UNUSABLE = "unusable"  # an answer that is not JSON, too large or cut short


# The terminal code that a failure leads to when it is the last one.
_CODES: dict[Failure, str] = {
    Failure.REFUSED: "backend_failed",
    Failure.UNREACHABLE: "attempts_exhausted",
    Failure.BUSY: "attempts_exhausted",
    Failure.TIMED_OUT: "backend_timeout",
    Failure.UNUSABLE: "backend_invalid_response",
}
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
_FIRST_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class AnotherReplica:
    """Call again at once, on a replica that has not been tried."""


@dataclass(frozen=True, slots=True)
class Later:
    """Put a copy into a retry tier."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the request as failed with this code; a dead letter can be redriven."""

    code: str
    dead_letter: bool


NextStep = AnotherReplica | Later | GiveUp


def failure_of_status(status: int) -> Failure:
    """Return the class of a backend's HTTP status outside 2xx."""
    if status in _PASSING_STATUSES or status >= _FIRST_SERVER_ERROR:
        return Failure.BUSY
    return Failure.REFUSED


def next_step(
    failure: Failure, attempt: int, max_attempts: int, untried_replicas: int, tried: int
) -> NextStep:
    """Decide what follows `failure` of attempt number `attempt` (counted over all returns).

    `tried` counts the replicas called since the request was claimed: one immediate second try is
    allowed, then it waits in a tier.
    """
    if failure is Failure.REFUSED:
        return GiveUp(_CODES[failure], dead_letter=False)
    if attempt >= max_attempts:
        return GiveUp(_CODES[failure], dead_letter=True)
    if untried_replicas > 0 and tried == 1:
        return AnotherReplica()
    return Later(RETRY_DELAY_S)
