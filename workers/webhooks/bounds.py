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
# More of one receiver wait in the engine, and more of one tenant, which can name any number of
# receivers: each that waits here holds an event of up to 64 KiB.
WAITING = 256
WAITING_OF_TENANT = 1_024


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whose line a post stands in, and its tenant."""

    tenant: str
    name: str


class Bounds(Generic[T]):
    """What waits for a place, first in first out for each receiver; receivers take turns."""

    def __init__(self) -> None:
        self._waiting: dict[Receiver, deque[T]] = {}
        self._waiting_of_tenant: Counter[str] = Counter()
        self._of_receiver: Counter[Receiver] = Counter()
        self._of_tenant: Counter[str] = Counter()
        # How many have a place.
        self.under_way = 0

    def offer(self, receiver: Receiver, item: T) -> bool:
        """Let an item wait for a place; False if too many of its receiver or tenant do."""
        if self._waiting_of_tenant[receiver.tenant] >= WAITING_OF_TENANT:
            return False
        line = self._waiting.setdefault(receiver, deque())
        if len(line) >= WAITING:
            return False
        line.append(item)
        self._waiting_of_tenant[receiver.tenant] += 1
        return True

    def take(self) -> tuple[Receiver, T] | None:
        """Give the next item a place, until `done`; None where nobody can have one."""
        if self.under_way >= IN_ALL:
            return None
        for receiver, line in self._waiting.items():
            if self._has_room(receiver):
                item = line.popleft()
                _less(self._waiting_of_tenant, receiver.tenant)
                self._move_behind(receiver, line)
                self.under_way += 1
                self._of_receiver[receiver] += 1
                self._of_tenant[receiver.tenant] += 1
                return receiver, item
        return None

    def done(self, receiver: Receiver) -> None:
        """Free a place."""
        self.under_way -= 1
        _less(self._of_receiver, receiver)
        _less(self._of_tenant, receiver.tenant)

    def drop(self, receiver: Receiver) -> list[T]:
        """Let nothing of this receiver wait any more, and return what did."""
        dropped = list(self._waiting.pop(receiver, ()))
        if dropped:
            _less(self._waiting_of_tenant, receiver.tenant, len(dropped))
        return dropped

    def drop_all(self) -> list[T]:
        """Let nothing wait any more, and return what did."""
        dropped = [item for line in self._waiting.values() for item in line]
        self._waiting.clear()
        self._waiting_of_tenant.clear()
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


def _less(counter: Counter[K], key: K, by: int = 1) -> None:
    counter[key] -= by
    if not counter[key]:
        del counter[key]
