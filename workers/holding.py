"""What a pool consumes and holds: its subscriptions, and the windows it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from broker.ports import Delivery, Queue
from broker.scheduling.windows import GiveBack, Windows
from schemas.priority import Priority
from workers.consuming import Consuming
from workers.lines import Lines, Waiting
from workers.rules import Rules

_log = structlog.get_logger("penstock.pool")
_LOOK_S = 1.0
_LOOK_SOON_BYTES = 16 * 1024 * 1024
_NEVER = float("inf")


class Holding:
    """Takes classes and gives them back by `broker.scheduling.windows`."""

    def __init__(
        self,
        queue: Queue,
        model: str,
        deliver: Callable[[Delivery], None],
        hand_back: Callable[[Sequence[Delivery]], None],
    ) -> None:
        self._model = model
        self._deliver = deliver
        self._hand_back = hand_back
        self._consuming = Consuming(queue, model, self._receive)
        self._windows = Windows()
        self._window = 0
        self._arrived_bytes = 0
        self._look_at = 0.0

    async def take_all(self, window: int) -> None:
        """Consume every class."""
        self._window = window
        for priority in Priority:
            await self._consuming.take(priority, window)

    async def renew(self, window: int) -> None:
        """Consume what is consumed with another window."""
        self._window = window
        for priority in self._windows.consumed:
            # It may have been given back while another was taken anew.
            if priority in self._windows.consumed:
                await self._consuming.take(priority, window)

    async def stop(self) -> None:
        """Consume nothing any more."""
        await self._consuming.stop()

    def started(self, priority: Priority) -> None:
        """Note a start."""
        self._windows.started(priority, time.monotonic())

    @property
    def look_again_s(self) -> float:
        """Seconds until the next look is due."""
        return max(0.0, self._look_at - time.monotonic())

    @property
    def has_given_back(self) -> bool:
        """Whether some class is not consumed now."""
        return len(self._windows.consumed) < len(Priority)

    async def tend(self, lines: Lines, rules: Rules, *, paused: bool) -> None:
        """Give back what cannot start, take again what may; nothing of a paused model is held."""
        now = time.monotonic()
        idle = not paused and not len(lines)
        if not (now >= self._look_at or paused or (idle and self.has_given_back)):
            return
        self._look_at, self._arrived_bytes = now + _LOOK_S, 0
        self._windows.look(lines.held(), now)
        if paused:
            for priority in self._windows.in_hand:
                await self._give_back(lines, GiveBack(priority, 0), _NEVER)
            return
        for each in self._windows.overdue(now):
            await self._give_back(lines, each, _due_at(lines, rules, each.priority))
        for priority in self._windows.ready(time.time(), idle=idle):
            self._windows.take_again(priority)
            await self._consuming.take(priority, self._window)

    async def _give_back(self, lines: Lines, what: GiveBack, due_at: float) -> None:
        if what.keep_bytes:
            self._windows.give_back_half(what.priority)
        else:
            self._windows.give_back(what.priority, due_at)
        await self._consuming.leave(what.priority)
        surplus = _beyond(lines.drop(what.priority), what.keep_bytes, lines)
        if surplus:
            _log.info("gives back", model=self._model, priority=what.priority, count=len(surplus))
            self._hand_back(surplus)

    def _receive(self, delivery: Delivery) -> None:
        self._arrived_bytes += len(delivery.envelope.body)
        if self._arrived_bytes > _LOOK_SOON_BYTES:
            self._look_at = 0.0
        self._deliver(delivery)


def _due_at(lines: Lines, rules: Rules, priority: Priority) -> float:
    """Return when the oldest of a class is owed its share; one without a share is owed nothing."""
    oldest, share = lines.oldest(priority), rules.shares.get(priority)
    if oldest is None or share is None or not share.share:
        return _NEVER
    return oldest + share.target_wait_s


def _beyond(dropped: Sequence[Waiting], keep_bytes: int, lines: Lines) -> list[Delivery]:
    """Put the first `keep_bytes` back into their lines; return the rest."""
    surplus: list[Delivery] = []
    for waiting in sorted(dropped, key=lambda each: each.accepted_at):
        keep_bytes -= len(waiting.delivery.envelope.body)
        if keep_bytes >= 0:
            lines.add(waiting)
        else:
            surplus.append(waiting.delivery)
    return surplus
