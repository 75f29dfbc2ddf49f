"""How many calls a replica can take at once, found out from how it answers. Pure: clock passed in.

As TCP finds its window, decentralised: every process has a limit of its own for every replica. It
grows while calls are answered and shrinks once per round trip when one is refused (429, 503, no
answer in time) or all take much longer. Like CUBIC it remembers where it was refused: it returns
there fast, stays for a while, and then probes beyond in steps of 1, 2, 4…
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from broker.scheduling.latency import Latency

# Calls answered at the ceiling before it is probed: at most one in so many is refused for it.
PATIENCE = 200
_SHRINK = 0.9
# Twice the best time is what a backend that shares its time shows at twice its capacity: it is kept
# busy, and what is gained by more calls is only a longer wait over there.
TOLERANCE = 2.0
_EASE = 0.8
_EASED_CALLS = 30
# A probe that ends in a pause must be rare beside the pause.
_PAUSES_APART = 15.0
_LONGEST_CALM_S = 60.0


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


class _Ease:
    """A decrease for slowness on trial: with fewer calls they must be faster."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._before, self._after = _Mean(), _Mean()

    def settled(self, ratio: float, *, after: bool) -> bool:
        """Take in how slow a call was; tell whether enough are known that began after it."""
        (self._after if after else self._before).add(ratio)
        return self._after.count >= _EASED_CALLS

    @property
    def helped(self) -> bool:
        """Halfway between no effect and what a backend at its capacity would show."""
        return self._after.mean < self._before.mean * (1 + _EASE) / 2

    @property
    def slowness(self) -> float:
        """How slow calls are since then."""
        return self._after.mean


class AdaptiveLimit:
    """The limit of one replica in one process, between `low` and `high`. Instants are seconds."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self._limit = float(low)
        # Calls in flight that were known to be good when one more was refused.
        self._ceiling = 0.0
        self._step = math.inf
        self._patience = 0
        self._calm_until = -math.inf
        self._round_began = self._shrunk_at = -math.inf
        self._proven = True
        self._latency = Latency()
        self._ease: _Ease | None = None

    @property
    def limit(self) -> int:
        """The most calls in flight."""
        return int(self._limit)

    def bound(self, low: int, high: int) -> None:
        """Take over new bounds."""
        self._low, self._high = low, high
        self._set(self._limit)

    def refused(self, began: float, now: float, in_flight: int, pause_s: float = 0.0) -> None:
        """A call that began as the last of `in_flight` got 429, 503 or no answer in time.

        It asked for no further call in `pause_s`. What began before the last decrease tells
        nothing of what is in flight since then.
        """
        if began < self._shrunk_at:
            return
        self._ceiling = max(self._low, min(in_flight, self.limit) - 1)
        # One too many is taken back; a refusal right after that means far too many.
        self._set(self._ceiling if self._proven else self._limit * _SHRINK)
        self._calm_until = now + min(_LONGEST_CALM_S, pause_s * _PAUSES_APART)
        self._settle_down(now)
        self._ease = None

    def answered(
        self, began: float, now: float, in_flight: int, kind: Hashable, output_tokens: int | None
    ) -> None:
        """A call that began as the last of `in_flight` was answered.

        `kind` is what calls are alike in, such as the model. Without a count of tokens its time
        says nothing.
        """
        self._proven = self._proven or began >= self._shrunk_at
        if output_tokens is not None:
            ratio = self._latency.observe(kind, now - began, output_tokens)
            self._ease_off(ratio, began, now)
        # A limit that is not reached is not tested.
        if 2 * in_flight >= self.limit:
            self._grow(began, now)

    def _grow(self, began: float, now: float) -> None:
        gap = self._ceiling - self._limit
        if gap > 0:
            self._set(min(self._ceiling, self._limit + max(gap / 2, 0.5) / self._limit))
        elif self._patience > 0:
            self._patience -= 1
        elif now >= self._calm_until and self._ease is None:
            if began >= self._round_began:
                self._round_began = now
                self._step = min(self._step * 2, self._limit)
            self._set(self._limit + self._step / self._limit)

    def _ease_off(self, ratio: float | None, began: float, now: float) -> None:
        """Shrink when calls have become slow; whether that was right shows afterwards."""
        if self._ease is None:
            if self._latency.strain > TOLERANCE:
                self._ease = _Ease(self._limit)
                self._ceiling = max(self._low, int(self._limit * _EASE))
                self._set(self._ceiling)
                self._settle_down(now)
        elif ratio is not None and self._ease.settled(ratio, after=began >= self._shrunk_at):
            if not self._ease.helped:
                self._latency.accept(self._ease.slowness)
                self._ceiling = self._ease.limit
            self._latency.restart()
            self._ease = None

    def _settle_down(self, now: float) -> None:
        self._shrunk_at = self._round_began = now
        self._proven = False
        self._patience = PATIENCE
        self._step = 0.5

    def _set(self, limit: float) -> None:
        self._limit = float(min(self._high, max(self._low, limit)))
