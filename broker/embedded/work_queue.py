"""The queue port over the SQLite file: the rows are the messages, consumers are fed from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from broker.embedded.database import Database
from broker.embedded.life import Life
from broker.embedded.rows import Placed
from broker.embedded.waiting import Copy, count_waiting, first_parked, next_waiting, unpark
from broker.lifecycle import Tasks
from broker.ports import Consumer, DeadLetter, Delivery
from schemas.envelope import Envelope
from schemas.priority import Priority

_LONGEST_SLEEP_S = 60.0
Class = tuple[str, Priority]


class EmbeddedQueue:
    """Fills `Queue`. A copy is known by (id, generation): a newer one does not wait for the old
    one's ack.
    """

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life
        self._classes: dict[Class, _Class] = {}
        self._tasks = Tasks("embedded queue")
        self._parked = asyncio.Event()

    async def start(self) -> None:
        """Begin to wake those whose booked turn comes."""
        self._tasks.supervise("parked", self._unpark_in_time)

    async def stop(self) -> None:
        """Deliver nothing more; what is unsettled waits in the file."""
        await self._tasks.stop()

    async def publish(self, envelope: Envelope) -> None:
        """The row is durable already: only wake its consumers."""
        if envelope.not_before is not None:
            self._parked.set()
        self._wake((envelope.model, envelope.priority))

    async def publish_later(self, envelope: Envelope, delay_s: float) -> None:
        """Nothing to do: `Store.requeue` writes the row's time, which is its delay."""

    async def consume(
        self,
        model: str,
        priority: Priority,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> Consumer:
        """Hand deliveries to `deliver`, oldest first; see the port."""
        kind = self._classes.get((model, priority))
        if kind is None:
            kind = self._classes[model, priority] = _Class(self._database, model, priority)
            self._tasks.supervise(f"{model} {priority}", kind.deliver_as_there_is_room)
        consumer = _Consumer(kind, prefetch, deliver)
        kind.consumers.append(consumer)
        kind.changed.set()
        return consumer

    async def consume_dead(
        self,
        receive: Callable[[DeadLetter], object],  # noqa: ARG002  because the port names it
    ) -> Consumer:
        """Nothing is ever set aside here: there is no message apart from its record."""
        return _NoDeadLetters()

    async def depth(self, model: str, priority: Priority) -> int:
        """Return how many requests wait undelivered."""
        kind = self._classes.get((model, priority))
        taken = tuple(kind.taken) if kind else ()
        return await self._database.read(count_waiting, model, priority, taken)

    async def tiers_empty(self) -> bool:
        """Tell whether no request waits for a booked turn."""
        return await self._database.read(first_parked) is None

    def placed(self, placed: Placed) -> None:
        """Note that a request has come to wait again."""
        if placed.parked_until is not None:
            self._parked.set()
        else:
            self._wake((placed.model, placed.priority))

    def _wake(self, key: Class) -> None:
        if (kind := self._classes.get(key)) is not None:
            kind.changed.set()

    async def _unpark_in_time(self) -> None:
        while True:
            self._parked.clear()
            first = await self._database.read(first_parked)
            sleep_s = _LONGEST_SLEEP_S if first is None else first - self._life.clock()
            if sleep_s > 0:
                await _woken(self._parked, min(sleep_s, _LONGEST_SLEEP_S))
                continue
            if await self._database.write(partial(unpark, now=self._life.clock())):
                for kind in self._classes.values():
                    kind.changed.set()


class _Class:
    """The consumers of one model and priority, and the copies they have not settled."""

    def __init__(self, database: Database, model: str, priority: Priority) -> None:
        self._database = database
        self._model = model
        self._priority = priority
        self.consumers: list[_Consumer] = []
        self.taken: set[Copy] = set()
        self.changed = asyncio.Event()

    async def deliver_as_there_is_room(self) -> None:
        """Read and hand over whenever something came or was settled."""
        while True:
            self.changed.clear()
            room = sum(consumer.room for consumer in self.consumers)
            found = await self._read(room) if room else []
            for envelope in found:
                self._hand_over(envelope)
            if len(found) < room or not room:
                await self.changed.wait()

    async def _read(self, room: int) -> list[Envelope]:
        return await self._database.read(
            next_waiting, self._model, self._priority, tuple(self.taken), room
        )

    def _hand_over(self, envelope: Envelope) -> None:
        """Give it to the consumer with the most room; none may be left by now."""
        consumer = max(self.consumers, key=lambda one: one.room, default=None)
        copy = (envelope.id, envelope.generation)
        if consumer is not None and consumer.room > 0 and copy not in self.taken:
            self.taken.add(copy)
            consumer.take(_Delivery(envelope, consumer))


class _Consumer:
    """One subscription: at most `prefetch` copies in the receiver's hands."""

    def __init__(self, kind: _Class, prefetch: int, deliver: Callable[[Delivery], None]) -> None:
        self._kind = kind
        self._prefetch = prefetch
        self._deliver = deliver
        self._unsettled = 0
        self._stopped = False

    @property
    def room(self) -> int:
        """How many more copies fit."""
        return 0 if self._stopped else self._prefetch - self._unsettled

    def take(self, delivery: Delivery) -> None:
        """Hand over one copy."""
        self._unsettled += 1
        self._deliver(delivery)

    def settled(self, copy: Copy) -> None:
        """Make room for another copy."""
        self._unsettled -= 1
        self._kind.taken.discard(copy)
        self._kind.changed.set()

    async def stop(self) -> None:
        """Take nothing more."""
        self._stopped = True
        if self in self._kind.consumers:
            self._kind.consumers.remove(self)


@dataclass(eq=False, slots=True)
class _Delivery:
    """One copy in the receiver's hands; settling it twice is harmless."""

    envelope: Envelope
    consumer: _Consumer
    settled: bool = False

    async def ack(self) -> None:
        """Forget the copy."""
        self._settle()

    async def requeue(self) -> None:
        """Let the row be delivered again: it still waits at its place."""
        self._settle()

    def _settle(self) -> None:
        if not self.settled:
            self.settled = True
            self.consumer.settled((self.envelope.id, self.envelope.generation))


class _NoDeadLetters:
    async def stop(self) -> None:
        """Nothing to stop."""


async def _woken(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
