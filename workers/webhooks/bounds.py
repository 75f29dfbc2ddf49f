"""Whose turn it is: so many under way to each receiver, for each tenant, and in all. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")

PER_RECEIVER = 8
PER_TENANT = 128
IN_ALL = 256
# More of one receiver wait in the engine.
WAITING = 256


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whose line a post stands in, and its tenant."""

    tenant: str
    name: str


class Bounds(Generic[T]):
    """What waits for a place, first in first out for each receiver; receivers take turns."""

    def __init__(self) -> None:
        self._waiting: dict[Receiver, deque[T]] = {}
        self._of_receiver: Counter[Receiver] = Counter()
        self._of_tenant: Counter[str] = Counter()
        # How many have a place.
        self.under_way = 0

    def offer(self, receiver: Receiver, item: T) -> bool:
        """Let an item wait for a place; False if too many of its receiver do."""
        line = self._waiting.setdefault(receiver, deque())
        if len(line) >= WAITING:
            return False
        line.append(item)
        return True

    def take(self) -> tuple[Receiver, T] | None:
        """Give the next item a place, until `done`; None where nobody can have one."""
        if self.under_way >= IN_ALL:
            return None
        for receiver, line in self._waiting.items():
            if self._has_room(receiver):
                item = line.popleft()
                self._move_behind(receiver, line)
                self.under_way += 1
                self._of_receiver[receiver] += 1
                self._of_tenant[receiver.tenant] += 1
                return receiver, item
        return None

    def done(self, receiver: Receiver) -> None:
        """Free a place."""
        self.under_way -= 1
        _one_less(self._of_receiver, receiver)
        _one_less(self._of_tenant, receiver.tenant)

    def drop(self, receiver: Receiver) -> list[T]:
        """Let nothing of this receiver wait any more, and return what did."""
        return list(self._waiting.pop(receiver, ()))

    def drop_all(self) -> list[T]:
        """Let nothing wait any more, and return what did."""
        dropped = [item for line in self._waiting.values() for item in line]
        self._waiting.clear()
        return dropped

    def _has_room(self, receiver: Receiver) -> bool:
        return (
            self._of_receiver[receiver] < PER_RECEIVER
            and self._of_tenant[receiver.tenant] < PER_TENANT
        )

    def _move_behind(self, receiver: Receiver, line: deque[T]) -> None:
        del self._waiting[receiver]
        if line:
            self._waiting[receiver] = line


def _one_less(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
