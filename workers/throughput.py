"""How fast a pool starts requests, how long they run, and how far it has come in each queue."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from broker.scheduling.lanes import line_keys
from schemas.priority import PRIORITIES, Lane, Priority

WINDOW_S = 60.0
_FIRST_S = 1.0
# The mean time of service is of about so many of the newest.
_REMEMBERED = 128


class Throughput:
    """The starts of the last minute, and what ran since; every start is followed by an end.

    `heads` tells, by class and by its flood lane, when the newest of the started was accepted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: deque[tuple[float, Counter[str]]] = deque()
        self._running = 0
        self._busy_s = 0.0
        self._ended = 0.0
        self._noted_at = clock()
        self.heads: dict[str, float] = {}

    def started(self, priority: Priority, accepted_at: float, lane: Lane) -> None:
        """Count one start."""
        second = self._note(+1) // 1
        if not self._buckets or self._buckets[-1][0] != second:
            self._buckets.append((second, Counter()))
        for key in line_keys(priority, lane):
            self._buckets[-1][1][key] += 1
            self.heads[key] = max(accepted_at, self.heads.get(key, 0.0))

    def ended(self) -> None:
        """Count one end."""
        self._note(-1)
        self._ended += 1
        if self._ended > _REMEMBERED:
            self._busy_s *= _REMEMBERED / self._ended
            self._ended = _REMEMBERED

    @property
    def rates(self) -> dict[str, float]:
        """Starts per second by class and flood lane, in the last minute or since the first."""
        now = self._clock()
        while self._buckets and self._buckets[0][0] < now - WINDOW_S:
            self._buckets.popleft()
        if not self._buckets:
            return {}
        counts: Counter[str] = sum((count for _, count in self._buckets), Counter())
        since_s = max(_FIRST_S, now - self._buckets[0][0])
        return {key: count / since_s for key, count in counts.items()}

    @property
    def rate(self) -> float:
        """Starts per second of all classes together."""
        rates = self.rates
        return sum(rates.get(priority, 0.0) for priority in PRIORITIES)

    @property
    def service_s(self) -> float | None:
        """The mean time of service; None before the first end.

        It is the time spent on all, also on those that still run, by those that ended: just after a
        start-up only short ones have ended, and their mean would be too short.
        """
        if not self._ended:
            return None
        return (self._busy_s + self._running * (self._clock() - self._noted_at)) / self._ended

    def _note(self, change: int) -> float:
        now = self._clock()
        self._busy_s += self._running * (now - self._noted_at)
        self._noted_at = now
        self._running += change
        return now
