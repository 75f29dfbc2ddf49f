"""Who goes next in a pool: strict by class, then the oldest first.

Reserved shares for lower classes and turns between tenants refine `best` without changing its use.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from schemas.priority import PRIORITIES, Priority


class Waiting(Protocol):
    """Whatever waits: it has a priority and the instant it was accepted."""

    @property
    def priority(self) -> Priority: ...

    @property
    def accepted_at(self) -> float: ...


W = TypeVar("W", bound=Waiting)


class Order(Generic[W]):
    """The waiting deliveries of one pool, of all its priorities together."""

    def __init__(self) -> None:
        self._classes: dict[Priority, deque[W]] = {priority: deque() for priority in PRIORITIES}

    def __len__(self) -> int:
        return sum(map(len, self._classes.values()))

    def add(self, waiting: W) -> None:
        """Take one in at its place: by `accepted_at` within its class."""
        line = self._classes[waiting.priority]
        later: list[W] = []
        while line and line[-1].accepted_at > waiting.accepted_at:
            later.append(line.pop())
        line.append(waiting)
        line.extend(reversed(later))

    def take(self, count: int) -> list[W]:
        """Remove and return the next `count`, best first; fewer if fewer wait."""
        taken: list[W] = []
        for line in self._classes.values():
            while line and len(taken) < count:
                taken.append(line.popleft())
        return taken

    def empty(self) -> list[W]:
        """Remove and return all, best first."""
        return self.take(len(self))
