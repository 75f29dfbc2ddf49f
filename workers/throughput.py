"""How fast a pool starts requests, and how far it has come in each queue."""

from __future__ import annotations

import time
from collections import deque

from schemas.priority import Priority

WINDOW_S = 60.0
_FIRST_S = 1.0


class Throughput:
    """The starts of the last minute; `heads` tells, by priority, how new the newest of them was."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, int]] = deque()
        self.heads: dict[str, float] = {}

    def started(self, priority: Priority, accepted_at: float) -> None:
        """Count one start."""
        second = time.monotonic() // 1
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1] = (second, self._buckets[-1][1] + 1)
        else:
            self._buckets.append((second, 1))
        self.heads[priority.value] = max(accepted_at, self.heads.get(priority.value, 0.0))

    @property
    def rate(self) -> float:
        """Starts per second over the last minute, or over the time since the first of them."""
        now = time.monotonic()
        while self._buckets and self._buckets[0][0] < now - WINDOW_S:
            self._buckets.popleft()
        if not self._buckets:
            return 0.0
        count = sum(count for _, count in self._buckets)
        return count / max(_FIRST_S, now - self._buckets[0][0])
