"""How fast a pool starts requests, how long they run, and how far it has come in each queue."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable

from broker.ports.members import HORIZONS_S
from broker.scheduling.lanes import line_keys
from schemas.priority import PRIORITIES, Lane, Priority

# The newest hundred starts say how fast it goes, unless they are of one moment, or of long ago.
_STARTS = 100
_SHORTEST_S = 10.0
WINDOW_S = 60.0
_FIRST_S = 1.0
_ENOUGH, _LEAST_SPAN_S = 8, 0.001
# The mean time of service is of the newest hundred or two, or of all that end in a minute.
_REMEMBERED = 128


class _Memory:
    """Counts that fade, each within another time."""

    def __init__(self, now: float) -> None:
        self.counts = [0.0] * len(HORIZONS_S)
        self._at = now

    def add(self, count: int, now: float) -> None:
        """Let what is remembered fade, and add `count`."""
        for place, horizon_s in enumerate(HORIZONS_S):
            faded = self.counts[place] * math.exp((self._at - now) / horizon_s)
            self.counts[place] = faded + count
        self._at = now


class Throughput:
    """What was started of late, and how long it ran; every start is followed by an end.

    By class, and by lane of a class: `heads` tells when the newest of the started was accepted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[tuple[float, Counter[str]]] = deque()
        self._lately = 0
        self._memory: dict[str, _Memory] = {}
        self._accepted: dict[str, deque[float]] = {}
        self._running = 0
        self._busy_s = 0.0
        self._ended = 0.0
        self._noted_at = clock()
        self.heads: dict[str, float] = {}

    def started(self, priority: Priority, accepted_at: float, lane: Lane) -> None:
        """Count one start."""
        now = self._note(+1)
        if not self._seconds or self._seconds[-1][0] != now // 1:
            self._seconds.append((now // 1, Counter()))
        for key in line_keys(priority, lane):
            self._seconds[-1][1][key] += 1
            self.heads[key] = max(accepted_at, self.heads.get(key, 0.0))
            self._memory.setdefault(key, _Memory(now)).add(1, now)
            self._accepted.setdefault(key, deque(maxlen=_STARTS)).append(accepted_at)
        self._lately += 1
        self._forget(now)

    def ended(self) -> None:
        """Count one end."""
        self._note(-1)
        self._ended += 1
        in_a_minute = WINDOW_S * (self._running + 1) * self._ended / max(self._busy_s, 1e-9)
        remembered = max(_REMEMBERED, in_a_minute)
        if self._ended > remembered:
            self._busy_s *= remembered / self._ended
            self._ended = remembered

    @property
    def running(self) -> int:
        """How many have started and not ended."""
        return self._running

    @property
    def rate(self) -> float:
        """Starts per second of late, or since the first, of all classes together."""
        since_s = self._since_s
        return self._lately / since_s

    @property
    def rates(self) -> dict[str, float]:
        """The same by class and lane."""
        since_s = self._since_s
        counts: Counter[str] = Counter()
        for _, each in self._seconds:
            counts.update(each)
        return {key: count / since_s for key, count in counts.items()}

    @property
    def lately(self) -> dict[str, tuple[float, ...]]:
        """About how many were started in the last of each of `HORIZONS_S`."""
        now = self._clock()
        for memory in self._memory.values():
            memory.add(0, now)
        return {key: tuple(memory.counts) for key, memory in self._memory.items()}

    @property
    def densities(self) -> dict[str, float]:
        """How many a second were accepted at the time that the newest hundred starts are from."""
        return {
            key: len(accepted) / max(_LEAST_SPAN_S, max(accepted) - min(accepted))
            for key, accepted in self._accepted.items()
            if len(accepted) >= _ENOUGH
        }

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

    @property
    def _since_s(self) -> float:
        now = self._clock()
        self._forget(now)
        return max(_FIRST_S, now - self._seconds[0][0]) if self._seconds else _FIRST_S

    def _forget(self, now: float) -> None:
        seconds = self._seconds
        while seconds:
            second, counts = seconds[0]
            total = sum(counts[priority] for priority in PRIORITIES)
            enough = second < now - _SHORTEST_S and self._lately - total >= _STARTS
            if not enough and second >= now - WINDOW_S:
                return
            self._lately -= total
            seconds.popleft()
