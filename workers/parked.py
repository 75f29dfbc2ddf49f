"""What a pool holds until its booked turn, because that comes before a tier would bring it back."""

from __future__ import annotations

import heapq
import itertools

from workers.lines import Waiting

# Longer than this, or more than a quarter of the window, goes to a tier.
LONGEST_S = 2.0

# Its instant, its number, itself, and the cap it waits for: empty where its turn is firm.
_Entry = tuple[float, int, Waiting, str]


class Parked:
    """Waiting deliveries by the instant of their turn, in Unix seconds."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_at(self) -> float | None:
        """The instant of the first turn."""
        return self._heap[0][0] if self._heap else None

    def add(self, waiting: Waiting, at: float, cap: str = "") -> None:
        """Hold one until `at`, an estimate if it waits for room under `cap`."""
        heapq.heappush(self._heap, (at, next(self._numbers), waiting, cap))

    def due(self, now: float) -> list[Waiting]:
        """Remove and return those whose turn has come."""
        ready: list[Waiting] = []
        while self._heap and self._heap[0][0] <= now:
            ready.append(heapq.heappop(self._heap)[2])
        return ready

    def first_of(self, tenant: str) -> Waiting | None:
        """Remove and return the first of `tenant` whose turn is an estimate, if there is one."""
        estimated = [entry for entry in self._heap if entry[3] and entry[2].tenant == tenant]
        return self._pull(min(estimated))[2] if estimated else None

    def last_estimated(self) -> tuple[float, Waiting, str] | None:
        """Remove and return the one whose estimated turn is farthest, its instant and its cap."""
        estimated = [entry for entry in self._heap if entry[3]]
        if not estimated:
            return None
        at, _, waiting, cap = self._pull(max(estimated))
        return at, waiting, cap

    def empty(self) -> list[Waiting]:
        """Remove and return all."""
        held, self._heap = self._heap, []
        return [waiting for _, _, waiting, _ in held]

    def _pull(self, entry: _Entry) -> _Entry:
        self._heap.remove(entry)
        heapq.heapify(self._heap)
        return entry
