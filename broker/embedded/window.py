"""The few next copies of one line: what is known of a backlog of any length.

Pure: the file is read elsewhere. A copy is (id, generation), so that a requeued request can be
handed over again while the delivery of its older copy is still unsettled.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from broker.embedded.rows import Key

Copy = tuple[str, int]


class Window:
    """Keys in order, at most `capacity`, and the copies that are handed over and unsettled.

    `complete` tells that every waiting copy is here or handed over; otherwise the file knows more
    and the window has to be refilled from it.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.complete = False
        self._keys: list[Key] = []
        self._copies: set[Copy] = set()
        # The instant at which a handed over copy is to come back after its ack, if it is.
        self._held: dict[Copy, float | None] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def held(self) -> list[Copy]:
        """The copies that are handed over and unsettled."""
        return list(self._held)

    def offer(self, key: Key) -> None:
        """Put a copy that waits to its place; one beyond an incomplete window stays in the file."""
        copy = (key.id, key.generation)
        if copy in self._copies:
            return
        if copy in self._held:
            self._held[copy] = 0.0
            return
        if not self.complete and (not self._keys or key > self._keys[-1]):
            return
        self._insert(key)
        if len(self._keys) > self.capacity:
            self._copies.discard(_copy(self._keys.pop()))
            self.complete = False

    def begin_refill(self) -> int:
        """Return how many keys to read; whatever comes to wait meanwhile clears `complete`."""
        self.complete = True
        return self.capacity + len(self._held)

    def refill(self, keys: Iterable[Key], asked: int) -> None:
        """Take in the first keys of the file, of which `asked` were asked for."""
        read = 0
        for key in keys:
            read += 1
            if _copy(key) not in self._copies and _copy(key) not in self._held:
                self._insert(key)
        if read >= asked:
            self.complete = False
        while len(self._keys) > self.capacity:
            self._copies.discard(_copy(self._keys.pop()))
            self.complete = False

    def take(self, count: int) -> list[Key]:
        """Remove the next `count` keys; their copies count as handed over."""
        taken, self._keys = self._keys[:count], self._keys[count:]
        for key in taken:
            self._copies.discard(_copy(key))
            self._held[_copy(key)] = None
        return taken

    def come_back(self, copy: Copy, at: float) -> bool:
        """Let a handed over copy wait again after its ack, from `at` on; False if it is not out."""
        if copy not in self._held:
            return False
        self._held[copy] = at
        return True

    def settle(self, copy: Copy) -> float | None:
        """Forget a hand-over; return the instant at which the copy is to come back, if it is."""
        return self._held.pop(copy, None)

    def _insert(self, key: Key) -> None:
        insort(self._keys, key)
        self._copies.add(_copy(key))


def _copy(key: Key) -> Copy:
    return (key.id, key.generation)
