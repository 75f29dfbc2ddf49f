"""When a receiver that fails is left alone, so that what never answers costs little. Pure."""

from __future__ import annotations

import math

OPENS_AFTER = 10
FIRST_S = 5.0
LONGEST_S = 60.0
# Longer than any attempt may last.
PROBE_S = 35.0
LONGEST_HOLD_S = 600.0
FORGOTTEN_S = 3_600.0


class Breaker:
    """Opens after ten failures in a row; then one attempt at a time, after ever longer pauses.

    The clock is passed in, in Unix seconds. It opens for a receiver that fails at random only where
    that fails often: of three failures in ten, ten in a row are rare.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._openings = 0
        self._opened_at = -math.inf
        self._held_until = -math.inf
        self._heard_at = -math.inf

    def wait_until(self, now: float) -> float | None:
        """Return until when nothing may be tried; None if an attempt may begin now."""
        return self._held_until if now < self._held_until else None

    def began(self, now: float) -> None:
        """An attempt begins; of an open breaker no second one does until it has ended."""
        if self._openings:
            self._held_until = max(self._held_until, now + PROBE_S)

    def failed(self, began_at: float, now: float) -> None:
        """An attempt has failed; one that began before the last opening tells nothing new."""
        self._heard_at = now
        if began_at < self._opened_at:
            return
        self._failures += 1
        if self._failures < OPENS_AFTER:
            return
        self._openings += 1
        self._opened_at = now
        self._held_until = now + min(LONGEST_S, FIRST_S * 2 ** min(self._openings - 1, 10))

    def hold(self, now: float, pause_s: float) -> None:
        """The receiver wants nothing for so long; ten minutes are the most."""
        self._held_until = max(self._held_until, now + min(pause_s, LONGEST_HOLD_S))

    def forgotten(self, now: float) -> bool:
        """Tell whether nothing was heard of the receiver for so long that it starts anew."""
        return now > max(self._heard_at, self._held_until) + FORGOTTEN_S
