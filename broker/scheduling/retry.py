"""What follows a failed attempt: another replica now, a later turn, or the end.

The classes of failures are one table; the decision is a function of the class and the count.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from broker.topology import TIERS


class Failure(Enum):
    """How a call to a backend went wrong."""

    REFUSED = "refused"  # a final 4xx: the request itself is at fault
    UNREACHABLE = "unreachable"  # no connection, or it broke
    BUSY = "busy"  # 429 and 503: it has more than it can take
    ERROR = "error"  # 408, 409, 425 and every other 5xx
    TIMED_OUT = "timed_out"  # no whole answer in the attempt's time
    UNUSABLE = "unusable"  # an answer that is not JSON, too large or cut short


@dataclass(frozen=True, slots=True)
class FailureClass:
    """One row: what a failure means.

    `final`: the same call would fail again. `code`: how the request ends if it is the last one.
    `overload`: the replica can take less than it was given. `elsewhere`: another replica may be
    called at once. `base_delay_s`: the wait before the next call, one tier more with each return.
    """

    final: bool
    code: str
    overload: bool
    elsewhere: bool
    base_delay_s: float


# A call that has timed out may still be computed: an immediate second one would double its load.
CLASSES: dict[Failure, FailureClass] = {
    Failure.REFUSED: FailureClass(True, "backend_failed", False, False, 0),
    Failure.UNREACHABLE: FailureClass(False, "attempts_exhausted", False, True, 5),
    Failure.BUSY: FailureClass(False, "attempts_exhausted", True, True, 5),
    Failure.ERROR: FailureClass(False, "attempts_exhausted", False, True, 5),
    Failure.TIMED_OUT: FailureClass(False, "backend_timeout", True, False, 30),
    Failure.UNUSABLE: FailureClass(False, "backend_invalid_response", False, True, 5),
}
BUSY_STATUSES = frozenset({429, 503})
_PASSING_STATUSES = frozenset({408, 409, 425})
_FIRST_SERVER_ERROR = 500

_LADDER = tuple(tier.delay_s for tier in TIERS)
SOONEST_S = _LADDER[0]
# Those that failed together must not come back together.
_JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Failed:
    """What is known after a failed attempt.

    `attempt` counts the request's calls over all its returns, `tried` those since it was claimed,
    `untried` the replicas that could take it now. `metered` backends count every call, so that none
    may begin without a reservation of its own. `retry_after_s` is what the backend asked for.
    `bound`: a part of its stream was shown, and the client did not allow another answer instead.
    """

    failure: Failure
    attempt: int
    max_attempts: int
    tried: int
    untried: int
    metered: bool
    remaining_s: float
    retry_after_s: float | None = None
    bound: bool = False


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


@dataclass(frozen=True, slots=True)
class Expire:
    """End the request as expired: its deadline has passed."""


NextStep = AnotherReplica | Later | GiveUp | Expire


def failure_of_status(status: int) -> Failure:
    """Return the class of a backend's HTTP status outside 2xx."""
    if status in BUSY_STATUSES:
        return Failure.BUSY
    if status in _PASSING_STATUSES or status >= _FIRST_SERVER_ERROR:
        return Failure.ERROR
    return Failure.REFUSED


def next_step(failed: Failed, *, within_budget: bool, draw: float) -> NextStep:
    """Decide what follows, by the first line that fits; `draw` is uniform in [0, 1):

        it is bound, and its deadline lies ahead   GiveUp, stream_interrupted
        a final failure                            GiveUp, no dead letter
        its deadline has passed                    Expire
        no attempt is left                         GiveUp
        the first call here, another replica is    AnotherReplica; where the backend is metered,
        ready, and the budget holds                Later, by the smallest tier
        a retry could only start after the         GiveUp: the backend's failure is what the client
        deadline                                   has to know, not that time would run out
        else                                       Later

    The wait is the class's tier, one more for each return and one more beyond the budget, or what
    the backend asked for if that is longer and no other replica is ready, and up to a quarter more.
    It takes at most half of the time that is left, so that the call has as much.
    """
    row = CLASSES[failed.failure]
    if failed.bound and failed.remaining_s > 0:
        return GiveUp("stream_interrupted", dead_letter=True)
    if row.final:
        return GiveUp(row.code, dead_letter=False)
    if failed.remaining_s <= 0:
        return Expire()
    if failed.attempt >= failed.max_attempts:
        return GiveUp(row.code, dead_letter=True)
    at_once = row.elsewhere and failed.tried == 1 and failed.untried > 0 and within_budget
    if at_once and not failed.metered:
        return AnotherReplica()
    # What one replica asks for binds only who has no other.
    told = 0.0 if failed.untried > 0 else failed.retry_after_s or 0.0
    earliest = max(SOONEST_S, told)
    wanted = SOONEST_S if at_once else max(_tier(failed, row, within_budget), told)
    if earliest >= failed.remaining_s:
        return GiveUp(row.code, dead_letter=True)
    latest = max(earliest, failed.remaining_s / 2)
    return Later(min(wanted * (1 + _JITTER * draw), latest))


def _tier(failed: Failed, row: FailureClass, within_budget: bool) -> float:
    returns = failed.attempt - failed.tried
    rung = _LADDER.index(row.base_delay_s) + returns + (not within_budget)
    return _LADDER[min(rung, len(_LADDER) - 1)]
