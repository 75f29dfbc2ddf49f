"""How many retries a backend is given: a failing one must not be met with several times the load.

Pure: the clock is passed in. The idea is Finagle's: retries are a share of what is called anyway.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SHARE = 0.2
WINDOW_S = 60
# A backend that is rarely called may be retried all the same.
FLOOR = 10


@dataclass(slots=True)
class _Second:
    at: int
    calls: int = 0
    retries: int = 0


class RetryBudget:
    """One backend's calls and retries of the last minute, seen from this process."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._calls = 0
        self._retries = 0

    def holds(self, now: float) -> bool:
        """Tell whether one more retry stays within a fifth of the calls, or the floor."""
        self._forget(now)
        return self._retries + 1 <= max(FLOOR, SHARE * self._calls)

    def called(self, now: float) -> None:
        """Count a call, the first of its request or not."""
        self._second(now).calls += 1
        self._calls += 1

    def retried(self, now: float) -> None:
        """Count a failure that is followed by another attempt, at once or later."""
        self._second(now).retries += 1
        self._retries += 1

    def _second(self, now: float) -> _Second:
        self._forget(now)
        if not self._seconds or self._seconds[-1].at < int(now):
            self._seconds.append(_Second(int(now)))
        return self._seconds[-1]

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0].at <= now - WINDOW_S:
            gone = self._seconds.popleft()
            self._calls -= gone.calls
            self._retries -= gone.retries
