"""How long a replica that refuses every call is left alone. Pure: clock passed in.

Else each refusal would at once be followed by the next request, and a backlog would use up its
attempts within seconds.
"""

from __future__ import annotations

import math

FIRST_S = 0.1
LONGEST_S = 5.0


class Backoff:
    """Pauses that double with each refusal in a row; the first one has none."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._refused_at = -math.inf
        self.until = -math.inf

    def refused(self, began: float, now: float) -> None:
        """A call was refused; those that began before the last refusal tell nothing new."""
        if began < self._refused_at:
            return
        self._refused_at = now
        if self._in_a_row:
            self.until = now + min(LONGEST_S, FIRST_S * 2 ** min(self._in_a_row - 1, 10))
        self._in_a_row += 1

    def answered(self) -> None:
        """A call was answered: it takes calls."""
        self._in_a_row = 0
        self.until = -math.inf
