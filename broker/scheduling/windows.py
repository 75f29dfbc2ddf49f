"""Which of its windows a pool gives back, and when it takes one again (PROTOCOL 2). Pure.

A window is what a pool holds of a class unstarted. What it cannot start another worker may;
RabbitMQ ends a consumer that holds a message for too long; and memory is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.scheduling.keeping import HELD_UNSTARTED_S
from schemas.priority import Priority

STUCK_S = 60.0
# Bodies that wait in one window; beyond it the class is not consumed until half of them have gone.
WINDOW_BYTES = 64 * 1024 * 1024
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Held:
    """What a pool holds of a class unstarted."""

    count: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Stop consuming a class and hand back what it holds beyond `keep_bytes`, newest first."""

    priority: Priority
    keep_bytes: int


@dataclass(slots=True)
class _Class:
    """One class of a pool; `held_since` and `last_start` are of a monotonic clock.

    `held_since`: something has waited here since then and nothing of it was started. `due_at`, a
    Unix second: it was given back until then.
    """

    held: Held = Held(0, 0)
    held_since: float | None = None
    last_start: float = -_NEVER
    due_at: float | None = None
    heavy: bool = False


class Windows:
    """What one pool knows of its windows."""

    def __init__(self) -> None:
        self._classes: dict[Priority, _Class] = {priority: _Class() for priority in Priority}

    @property
    def in_hand(self) -> list[Priority]:
        """The classes that are consumed now, or of which something is held still."""
        return [
            priority
            for priority, state in self._classes.items()
            if state.due_at is None or state.held.count
        ]

    @property
    def consumed(self) -> list[Priority]:
        """The classes that are consumed now."""
        return [priority for priority, state in self._classes.items() if state.due_at is None]

    def started(self, priority: Priority, now: float) -> None:
        """Note a start."""
        state = self._classes[priority]
        state.last_start, state.held_since = now, None

    def look(self, held: Mapping[Priority, Held], now: float) -> None:
        """Note what of each class waits unstarted."""
        for priority, state in self._classes.items():
            state.held = held[priority]
            if not state.held.count:
                state.held_since = None
            elif state.held_since is None:
                state.held_since = now

    def overdue(self, now: float) -> list[GiveBack]:
        """Return what to give back.

        All of a class that was stuck for 60 s behind classes that did start, or was held for a
        third of RabbitMQ's consumer timeout for whatever reason; half of one that is too heavy.
        """
        # Also of a class that is not consumed any more: its turns may have been held apart.
        found = [GiveBack(priority, 0) for priority in Priority if self._stuck(priority, now)]
        stuck = {each.priority for each in found}
        heavy = [
            GiveBack(priority, WINDOW_BYTES // 2)
            for priority in self.consumed
            if priority not in stuck and self._classes[priority].held.body_bytes > WINDOW_BYTES
        ]
        return found + heavy

    def give_back(self, priority: Priority, due_at: float) -> None:
        """Note that the class is not consumed until `due_at`, or until the pool is idle."""
        state = self._classes[priority]
        state.due_at, state.heavy, state.held_since = due_at, False, None

    def give_back_half(self, priority: Priority) -> None:
        """Note that the class is not consumed until half of what it holds has gone."""
        state = self._classes[priority]
        state.due_at, state.heavy = _NEVER, True

    def ready(self, wall: float, *, idle: bool) -> list[Priority]:
        """Return the classes to consume again: their time has come, or nothing else waits."""
        return [
            priority
            for priority, state in self._classes.items()
            if state.due_at is not None and (idle or wall >= state.due_at or _light_again(state))
        ]

    def take_again(self, priority: Priority) -> None:
        """Note that the class is consumed again."""
        state = self._classes[priority]
        state.due_at, state.heavy = None, False

    def _stuck(self, priority: Priority, now: float) -> bool:
        since = self._classes[priority].held_since
        if since is None:
            return False
        held_s = now - since
        return held_s >= HELD_UNSTARTED_S or (
            held_s >= STUCK_S and self._others_started(priority, now)
        )

    def _others_started(self, priority: Priority, now: float) -> bool:
        return any(
            now - state.last_start < STUCK_S
            for other, state in self._classes.items()
            if other is not priority
        )


def _light_again(state: _Class) -> bool:
    return state.heavy and state.held.body_bytes < WINDOW_BYTES // 4
