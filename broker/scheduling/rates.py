"""Rates a minute: a bucket that holds one minute's worth and refills evenly.

The generic cell rate algorithm (GCRA, ITU-T I.371, the virtual scheduling form): of a bucket only
the instant is kept at which it will be full again. A cost takes as long to refill as its share of
the minute; it may start as soon as the bucket holds it, and one larger than the bucket when that is
full. Instants are Unix seconds, costs are requests or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE_S = 60.0
# What the clock's own rounding may add up to.
GRAIN_S = 2e-6
_STEP_S = 5.0


@dataclass(slots=True)
class Bucket:
    """One bucket: when it is full again, and how empty it has been at the starts of late.

    `lows` are pairs (at, debt), the least debt in seconds that any start from the pair before up to
    `at` has met; both grow along the list. See `give_back`.
    """

    full_at: float = 0.0
    lows: list[tuple[float, float]] = field(default_factory=list)


def refill_s(cost: float, per_minute: float) -> float:
    """Return how long the bucket takes to refill `cost`."""
    return cost * MINUTE_S / per_minute


def opens(full_at: float, per_minute: float, cost: float, ahead: float, now: float) -> float:
    """Return when `cost` may start once what is `ahead` of it has started; `now` at the earliest.

    Starting no sooner keeps what starts in any interval of t seconds at or below
    per_minute + per_minute / 60 * t (one larger than the bucket counts as one bucket).
    """
    taken_s = refill_s(ahead + min(cost, per_minute), per_minute)
    return max(now, max(full_at, now) + taken_s - MINUTE_S)


def charge(bucket: Bucket, per_minute: float, cost: float, now: float) -> None:
    """Take `cost` out; it may have been more than there was, then the bucket is in debt."""
    _note(bucket.lows, now, max(0.0, bucket.full_at - now))
    bucket.full_at = max(bucket.full_at, now) + refill_s(cost, per_minute)


def give_back(bucket: Bucket, per_minute: float, cost: float, charged_at: float) -> None:
    """Put back what was charged too much at `charged_at`, as though it had not been.

    Had it not been charged, a bucket that has been nearly full since would have overflowed, and
    what overflows is nobody's: no more is returned than the least debt that a later start has met.
    """
    least = next((debt for at, debt in bucket.lows if at > charged_at), float("inf"))
    returned = min(refill_s(cost, per_minute), least)
    bucket.full_at -= returned
    lows, bucket.lows = bucket.lows, []
    for at, debt in lows:
        _push(bucket.lows, at, debt - returned if at > charged_at else debt)


def _note(lows: list[tuple[float, float]], now: float, debt: float) -> None:
    """Keep the least debts, in steps: rounded down, and said of later starts than it held for."""
    _push(lows, now, debt)
    if len(lows) > 1 and lows[-1][1] - lows[-2][1] < _STEP_S:
        lows[-2:] = [(now, lows[-2][1])]


def _push(lows: list[tuple[float, float]], at: float, debt: float) -> None:
    while lows and lows[-1][1] >= debt:
        lows.pop()
    lows.append((at, debt))
