"""The subscriptions of one pool: both lanes of each priority."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from broker.ports import Consumer, Delivery, Queue
from schemas.priority import Lane, Priority


class Consuming:
    """What a pool consumes now, class by class."""

    def __init__(self, queue: Queue, model: str, deliver: Callable[[Delivery], None]) -> None:
        self._queue = queue
        self._model = model
        self._deliver = deliver
        self._consumers: dict[Priority, list[Consumer]] = {}
        self._stopped = False

    async def take(self, priority: Priority, prefetch: int) -> None:
        """Consume a class from now on, with at most `prefetch` unsettled of each lane.

        One that is consumed already is so anew: the new consumers begin before the old ones end.
        After `stop` nothing is.
        """
        if self._stopped:
            return
        held = self._consumers.setdefault(priority, [])
        old = list(held)
        for lane in Lane:
            held.append(
                await self._queue.consume(self._model, priority, lane, prefetch, self._deliver)
            )
        await _stop(old)
        del held[: len(old)]

    async def leave(self, priority: Priority) -> None:
        """Stop consuming a class; what was handed over stays the pool's to settle."""
        await _stop(self._consumers.pop(priority, []))

    async def stop(self) -> None:
        """Stop consuming everything, for good."""
        self._stopped = True
        await asyncio.gather(*(self.leave(priority) for priority in list(self._consumers)))


async def _stop(consumers: list[Consumer]) -> None:
    await asyncio.gather(*(consumer.stop() for consumer in consumers))
