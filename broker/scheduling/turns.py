"""The turns that are booked under one limit: first come, first served inside a class.

A higher class goes before every booking of the lower ones, so how long a turn lies ahead follows
from who is before it now, not from what was said when it was booked.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict

from schemas.priority import PRIORITIES


class RateTurns:
    """Turns under a rate, by the cost that starts before them."""

    def __init__(self) -> None:
        # Request -> (position, cost): a position is the sum of all costs booked before it.
        self._classes: list[OrderedDict[str, tuple[float, float]]] = [
            OrderedDict() for _ in PRIORITIES
        ]
        self._booked = [0.0 for _ in PRIORITIES]

    def __len__(self) -> int:
        return sum(map(len, self._classes))

    def ahead(self, rank: int, request_id: str) -> float:
        """Return the cost booked before this turn; before a new one, if it is not booked.

        What was given up between two turns keeps them apart until the first of them has gone.
        """
        line = self._classes[rank]
        place, _ = line.get(request_id) or (self._end(rank), 0.0)
        first = next(iter(line.values()))[0] if line else place
        return sum(self._booked[:rank]) + place - first

    def book(self, rank: int, request_id: str, cost: float) -> None:
        """Add a turn at the end of its class, unless it is there."""
        if request_id not in self._classes[rank]:
            self._classes[rank][request_id] = (self._end(rank), cost)
            self._booked[rank] += cost

    def drop(self, rank: int, request_id: str) -> None:
        """Forget a turn: it has started, or will not come."""
        line = self._classes[rank]
        if (turn := line.pop(request_id, None)) is not None:
            # Sums of fractions would keep a remainder.
            self._booked[rank] = self._booked[rank] - turn[1] if line else 0.0

    def _end(self, rank: int) -> float:
        line = self._classes[rank]
        return sum(line[next(reversed(line))]) if line else 0.0


class CapTurns:
    """Turns under a cap, by the instants they were told."""

    def __init__(self) -> None:
        self._classes: list[list[tuple[float, str]]] = [[] for _ in PRIORITIES]
        self._told: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._told)

    def ahead(self, rank: int, request_id: str) -> int:
        """Return how many are booked before this turn; before a new one, if it is not booked."""
        return sum(map(len, self._classes[:rank])) + self._place(rank, request_id)

    def due_ahead(self, rank: int, request_id: str, now: float) -> int:
        """Return how many of those before it have their time: what is free is theirs."""
        until = (now, "\U0010ffff")
        higher = sum(bisect_left(line, until) for line in self._classes[:rank])
        own = bisect_left(self._classes[rank], until)
        return higher + min(own, self._place(rank, request_id))

    def book(self, rank: int, request_id: str, at: float) -> None:
        """Add a turn that was told `at`, or tell it anew."""
        self.drop(rank, request_id)
        insort(self._classes[rank], (at, request_id))
        self._told[request_id] = at

    def drop(self, rank: int, request_id: str) -> None:
        """Forget a turn: it has started, or will not come."""
        if request_id in self._told:
            del self._classes[rank][self._place(rank, request_id)]
            del self._told[request_id]

    def _place(self, rank: int, request_id: str) -> int:
        line = self._classes[rank]
        told = self._told.get(request_id)
        return len(line) if told is None else bisect_left(line, (told, request_id))
