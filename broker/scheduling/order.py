"""Who goes next in a pool: by class, then by turns between tenants, then by due (PROTOCOL 2)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from broker.scheduling import fair
from broker.scheduling.fair import Entry, Turns
from broker.scheduling.shares import ClassShare, Credits
from schemas.priority import PRIORITIES, RANK, Priority


class Waiting(fair.Waiting, Protocol):
    """Whatever waits: it waits its turn inside a class."""

    @property
    def priority(self) -> Priority: ...


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class _Start(Generic[W]):
    """One of the last take, the classes that were late then, and the rank it was chosen with."""

    entry: Entry[W]
    late: tuple[Priority, ...]
    rank: int


class Order(Generic[W]):
    """The waiting deliveries of one line, of all its priorities together."""

    def __init__(
        self, shares: Mapping[Priority, ClassShare], weight_of: Callable[[str], float]
    ) -> None:
        self._targets = {priority: each.target_wait_s for priority, each in shares.items()}
        self._classes: dict[Priority, Turns[W]] = {each: Turns(weight_of) for each in PRIORITIES}
        self._credits = Credits(shares)
        self._owed_before = self._credits.copy()
        self._taken: dict[int, _Start[W]] = {}
        self._taken_at = self._started_at = 0.0
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return sum(map(len, self._classes.values()))

    def add(self, waiting: W) -> None:
        """Take one in at its place."""
        self._classes[waiting.priority].add(Entry(waiting, next(self._numbers)))

    def take(self, count: int, now: float) -> list[W]:
        """Remove and return the next `count`, best first, charged as started; fewer if fewer wait.

        `now` in Unix seconds.
        """
        self._owed_before = self._credits.copy()
        self._taken = {}
        self._taken_at = now
        while len(self._taken) < count:
            late = self._late(now)
            priority = self._choose(late)
            if priority is None:
                break
            rank = RANK[self._highest() or priority]
            entry = self._classes[priority].take()
            self._credits.start(priority, late)
            self._taken[id(entry.waiting)] = _Start(entry, late, rank)
        return [start.entry.waiting for start in self._taken.values()]

    def place(self, taken: W) -> tuple[int, float]:
        """Return the place with which one of the last take asks for a slot; the least goes first.

        First its rank, 0 for `high`: that of its class, but one whose class is owed a start stands
        where the one stands that it overtakes. Then since when this order waits for a start, in
        Unix seconds, or 0 for a tenant that came back. So processes take turns as tenants do: by
        due, the flood of one process would go before the quiet tenant of another.
        """
        start = self._taken[id(taken)]
        return start.rank, 0.0 if start.entry.first else self._started_at

    def put_back(self, taken: Sequence[W]) -> None:
        """Take back those of the last take that did not start, as though they had stayed here.

        Called after every take, with none if all started: the order then lets go of them. One that
        another order gave out is added as a new one.
        """
        starts = self._undo(taken)
        if self._taken:
            self._started_at = self._taken_at
        self._taken = {}
        for waiting, start in zip(taken, starts, strict=True):
            if start is None:
                self.add(waiting)
            else:
                self._classes[waiting.priority].put_back(start.entry)

    def leave(self, taken: Sequence[W]) -> None:
        """Let those of the last take go that wait elsewhere from now on: not charged as started.

        Called before `put_back` of the same take.
        """
        for waiting, start in zip(taken, self._undo(taken), strict=True):
            if start is not None:
                self._classes[waiting.priority].refund(start.entry)

    def correct(self, priority: Priority, tenant: str, tokens: float) -> None:
        """Charge a tenant what its call took more than was estimated; less if negative."""
        self._classes[priority].correct(tenant, tokens)

    def waiting(self, priority: Priority) -> int:
        """Return how many of a class wait here."""
        return len(self._classes[priority])

    def oldest(self, priority: Priority) -> float | None:
        """Return when the oldest of a class was accepted; None if none waits."""
        return self._classes[priority].oldest()

    def drop(self, priority: Priority) -> list[W]:
        """Remove and return all of a class, best first; nothing is charged."""
        return [entry.waiting for entry in self._classes[priority].drain()]

    def empty(self) -> list[W]:
        """Remove and return all, by class; nothing is charged."""
        return [waiting for priority in PRIORITIES for waiting in self.drop(priority)]

    def _undo(self, taken: Sequence[W]) -> list[_Start[W] | None]:
        """Forget starts of the last take; return them, None for each that is not of it."""
        starts = [self._taken.pop(id(waiting), None) for waiting in taken]
        self._credits.restore(self._owed_before)
        for start in self._taken.values():
            self._credits.start(start.entry.waiting.priority, start.late)
        return starts

    def _late(self, now: float) -> tuple[Priority, ...]:
        return tuple(
            [
                priority
                for priority, target_wait_s in self._targets.items()
                if (oldest := self._classes[priority].oldest()) is not None
                and now - oldest > target_wait_s
            ]
        )

    def _choose(self, late: tuple[Priority, ...]) -> Priority | None:
        """Return the class that goes next: one that is late and owed a start, else the highest."""
        if late and (owed := self._credits.first(late)) is not None:
            return owed
        return self._highest()

    def _highest(self) -> Priority | None:
        for priority, line in self._classes.items():
            if line:
                return priority
        return None
