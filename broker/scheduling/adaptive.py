"""How many calls a replica can take at once, found out from how it answers. Pure: clock passed in.

As TCP finds its window, decentralised: every process has a limit of its own for every replica. It
grows while calls are answered and shrinks once per round trip when one is refused (429, 503, no
answer in time) or all take much longer. Like CUBIC it remembers where it was refused: it returns
there fast, stays for a while, and then probes beyond in steps of 1, 2, 4…
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from broker.scheduling.easing import EASE, TOLERANCE, Easing, Verdict
from broker.scheduling.latency import Latency

# Calls answered at the ceiling before it is probed: at most one in so many is refused for it.
PATIENCE = 200
_SHRINK = 0.9
# A probe that ends in a pause must be rare beside the pause.
_PAUSES_APART = 15.0
_LONGEST_CALM_S = 60.0


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
        self._easing: Easing | None = None

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
        self._easing = None

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
        elif now >= self._calm_until and self._easing is None:
            if began >= self._round_began:
                self._round_began = now
                self._step = min(self._step * 2, self._limit)
            self._set(self._limit + self._step / self._limit)

    def _ease_off(self, ratio: float | None, began: float, now: float) -> None:
        """Shrink when calls have become slow, and judge by those that begin after that."""
        if self._easing is None:
            if self._latency.strain > TOLERANCE:
                self._easing = Easing(self._limit)
                self._ease(now)
        elif ratio is not None:
            after = began >= self._shrunk_at
            self._obey(
                self._easing,
                self._easing.heard(ratio, began_after=after, limit=self._limit, least=self._low),
                now,
            )

    def _obey(self, easing: Easing, verdict: Verdict, now: float) -> None:
        if verdict is Verdict.WAIT:
            return
        if verdict is Verdict.MORE:
            easing.eased_again()
            self._ease(now)
            return
        if verdict is Verdict.IN_VAIN:
            self._latency.accept(easing.slowness)
            self._ceiling = easing.limit
        self._latency.restart()
        self._easing = None

    def _ease(self, now: float) -> None:
        self._ceiling = max(self._low, int(self._limit * EASE))
        self._set(self._ceiling)
        self._settle_down(now)

    def _settle_down(self, now: float) -> None:
        self._shrunk_at = self._round_began = now
        self._proven = False
        self._patience = PATIENCE
        self._step = 0.5

    def _set(self, limit: float) -> None:
        self._limit = float(min(self._high, max(self._low, limit)))
