"""The queue port over the SQLite file: the rows are the messages, the lines are windows on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from broker.embedded import waiting
from broker.embedded.database import Database
from broker.embedded.life import Life
from broker.embedded.line import Line, LineConsumer, SetAside
from broker.embedded.parking import Parking
from broker.embedded.rows import Placed
from broker.lifecycle import Tasks
from broker.ports import Consumer, DeadLetter, Delivery, QueueDepth
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.priority import PRIORITIES, Lane, Priority

# Whatever was missed, by an error or a caller that died between two steps, is found by then.
_LOOK_EVERY_S = 5.0

Place = tuple[str, Priority, Lane]


class EmbeddedQueue:
    """Fills `Queue`. Publishing needs no write: `create` and `requeue` have written the row."""

    def __init__(self, database: Database, life: Life, set_aside: SetAside) -> None:
        self._database = database
        self._set_aside = set_aside
        self._lines: dict[Place, Line] = {}
        self._parking = Parking(database, life, self._look_into)
        self._tasks = Tasks("queue")

    def start(self) -> None:
        """Begin to watch the parked, and to look into every line now and then."""
        self._parking.start()
        self._tasks.supervise("look into every line", self._look_around)

    async def stop(self) -> None:
        """End all deliveries; what is unsettled comes back at the next start."""
        for line in self._lines.values():
            line.closed = True
        await self._parking.stop()
        await self._tasks.stop()

    async def publish(self, envelope: Envelope) -> None:
        """Let the row that `create` has written be seen."""
        self._publish(envelope, 0.0)

    async def publish_all(self, envelopes: Sequence[Envelope]) -> Sequence[EngineError | None]:
        """Let many rows be seen."""
        for envelope in envelopes:
            self._publish(envelope, 0.0)
        return [None] * len(envelopes)

    async def publish_later(self, envelope: Envelope, delay_s: float) -> None:
        """Confirm only: the row's own `not_before`, written by the record's step, wakes it."""
        self._publish(envelope, delay_s)

    async def consume(
        self,
        model: str,
        priority: Priority,
        lane: Lane,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> Consumer:
        """Hand deliveries to `deliver`, at most `prefetch` unsettled."""
        line = self._line((model, priority, lane))
        consumer = LineConsumer(line, prefetch, deliver)
        line.consumers.append(consumer)
        line.serve()
        return consumer

    async def consume_dead(self, receive: Callable[[DeadLetter], object]) -> Consumer:
        """Return a consumer that never calls `receive`: nothing sets a row aside behind us."""
        del receive
        return _NoConsumer()

    async def depth(self, model: str, priority: Priority) -> int:
        """Return how many messages wait undelivered, in both lanes."""
        return sum([await self._line((model, priority, lane)).depth() for lane in Lane])

    async def tiers_empty(self) -> bool:
        """Tell whether nothing is parked."""
        return await self._database.read(waiting.first_parked) is None

    async def survey(self, models: Sequence[str]) -> list[QueueDepth]:
        """Return the line of each model, priority and lane, and what is parked."""
        found = [
            QueueDepth(".".join(place), await self._line(place).depth(), *place)
            for model in models
            for priority in PRIORITIES
            for lane in Lane
            for place in ((model, priority, lane),)
        ]
        parked = await self._database.read(waiting.count_parked)
        return [*found, QueueDepth("parked", parked)]

    def placed(self, placed: Placed) -> None:
        """A record's step has put a request back to wait."""
        if placed.parked_until is not None:
            self._parking.look()
        elif line := self._lines.get((placed.model, placed.priority, placed.lane)):
            line.offer(placed.key)

    def _publish(self, envelope: Envelope, delay_s: float) -> None:
        line = self._lines.get((envelope.model, envelope.priority, envelope.lane))
        if envelope.not_before is not None:
            self._parking.look()
        if line is None:
            return
        back_at = asyncio.get_running_loop().time() + delay_s
        if not line.window.come_back((envelope.id, envelope.generation), back_at):
            line.look()

    def _line(self, place: Place) -> Line:
        if place not in self._lines:
            self._lines[place] = Line(self._database, *place, self._tasks, self._set_aside)
        return self._lines[place]

    def _look_into(self, *place: *Place) -> None:
        if line := self._lines.get(place):
            line.look()

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for line in self._lines.values():
                line.look()


class _NoConsumer:
    """Fills `Consumer` where nothing is ever delivered."""

    async def stop(self) -> None:
        """Nothing to stop."""
