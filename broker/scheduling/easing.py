"""Fewer calls for a replica that has become slow, and the verdict whether that was right. Pure.

A backend at its capacity is faster with fewer calls. One that is slow for another reason (longer
prompts, a hotter card) is not: the calls are given back, and that pace is the measure from then on.
"""

from __future__ import annotations

from enum import Enum

# Twice the best time is what a backend that shares its time shows at twice its capacity: it is kept
# busy, and what more calls would gain is only a longer wait over there.
TOLERANCE = 2.0
EASE = 0.8
_ENOUGH_CALLS = 30
# Other processes share the replica: only when this one has given up half of its calls must it show.
_HALF = 0.5
_NO_HELP = 0.75


class Verdict(Enum):
    """What to do after the last decrease."""

    WAIT = "wait"  # too few calls have begun since then
    MORE = "more"  # still slow: decrease again
    HELPED = "helped"
    IN_VAIN = "in vain"


class Easing:
    """One series of decreases, from the `limit` at which calls were too slow."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._before, self._after = _Mean(), _Mean()
        self._earlier = 0.0

    @property
    def slowness(self) -> float:
        """How much slower than at best the calls since the last decrease are."""
        return self._after.value

    def heard(self, ratio: float, *, began_after: bool, limit: float, least: float) -> Verdict:
        """Take in how slow a call was that began before or after the last decrease, to `limit`."""
        if not began_after:
            self._before.add(ratio)
            return Verdict.WAIT
        self._after.add(ratio)
        if self._after.count < _ENOUGH_CALLS:
            return Verdict.WAIT
        if self._after.value <= TOLERANCE:
            return Verdict.HELPED
        if limit > max(least, self.limit * _HALF):
            return Verdict.MORE
        if self._after.value > self._before.value * _NO_HELP and not self._last_one_helped:
            return Verdict.IN_VAIN
        return Verdict.MORE if limit > least else Verdict.HELPED

    def eased_again(self) -> None:
        """Judge by the calls that begin from now on."""
        self._earlier, self._after = self._after.value, _Mean()

    @property
    def _last_one_helped(self) -> bool:
        """The replica may have become slower while the series went on."""
        return self._after.value < self._earlier * (1 + EASE) / 2


class _Mean:
    def __init__(self) -> None:
        self.value = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        self.count += 1
        self.value += (value - self.value) / self.count
