"""The line of one (model, priority, lane): its window, who consumes it, what is handed over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from broker.embedded import waiting
from broker.embedded.database import Database
from broker.embedded.rows import Key
from broker.embedded.window import Window
from broker.lifecycle import Tasks
from broker.ports import Delivery
from schemas.codec import BadEnvelope
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.priority import Lane, Priority

_log = structlog.get_logger("penstock.embedded")
WINDOW = 256
# Ends a waiting copy that cannot be handed over, with a sentence that says why.
SetAside = Callable[[Key, str], Awaitable[None]]


class Line:
    """Hands waiting requests to consumers with room, oldest first."""

    def __init__(
        self,
        database: Database,
        model: str,
        priority: Priority,
        lane: Lane,
        tasks: Tasks,
        set_aside: SetAside,
    ) -> None:
        self._database = database
        self._set_aside = set_aside
        self._place = (model, priority, lane)
        self._tasks = tasks
        self._serving = False
        self.window = Window(WINDOW)
        self.consumers: deque[LineConsumer] = deque()
        self.closed = False

    def look(self) -> None:
        """Something may wait in the file that the window does not know."""
        self.window.complete = False
        self.serve()

    def offer(self, key: Key) -> None:
        """A copy has come to wait."""
        self.window.offer(key)
        self.serve()

    def serve(self) -> None:
        """Begin to hand over, unless that is under way."""
        if not self._serving and not self.closed and self._credit():
            self._serving = True
            self._tasks.spawn(f"serve {' '.join(self._place)}", self._serve())

    def settled(self, key: Key, *, requeued: bool) -> None:
        """Forget a hand-over; a requeued copy takes its old place."""
        back = self.window.settle((key.id, key.generation))
        if requeued:
            self.window.offer(key)
        elif back is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(max(0.0, back - loop.time()), self.look)
        self.serve()

    async def depth(self) -> int:
        """Return how many wait and are not handed over."""
        return await self._database.read(waiting.count, *self._place, self.window.held)

    async def _serve(self) -> None:
        try:
            while (credit := self._credit()) and not self.closed:
                if len(self.window) < credit and not self.window.complete:
                    await self._refill()
                if not len(self.window) and self.window.complete:
                    return
                await self._hand_over(self.window.take(credit))
        except EngineError as error:
            # The queue looks into every line again soon.
            self.window.complete = False
            _log.warning("nothing is handed over while the store is away", error=str(error))
        finally:
            self._serving = False

    async def _refill(self) -> None:
        asked = self.window.begin_refill()
        keys = await self._database.read(waiting.next_keys, *self._place, asked)
        self.window.refill(keys, asked)

    async def _hand_over(self, keys: list[Key]) -> None:
        try:
            envelopes = await self._database.read(waiting.envelopes, keys)
        except BaseException:
            for key in keys:
                self.window.settle((key.id, key.generation))
            raise
        unreadable: list[tuple[Key, BadEnvelope]] = []
        for key, envelope in zip(keys, envelopes, strict=True):
            if envelope is None:
                self.settled(key, requeued=False)
            elif isinstance(envelope, BadEnvelope):
                unreadable.append((key, envelope))
            elif (consumer := self._next_consumer()) is None:
                self.settled(key, requeued=True)
            else:
                consumer.hand(key, envelope)
        await self._end(unreadable)

    async def _end(self, unreadable: list[tuple[Key, BadEnvelope]]) -> None:
        """What nobody can read would stand before all others for ever."""
        try:
            for key, error in unreadable:
                _log.error("a stored request cannot be read", request=key.id, error=str(error))
                await self._set_aside(key, f"The stored request cannot be read: {error}.")
        finally:
            for key, _ in unreadable:
                self.settled(key, requeued=False)

    def _credit(self) -> int:
        return sum(consumer.room for consumer in self.consumers)

    def _next_consumer(self) -> LineConsumer | None:
        """Return a consumer with room; they take turns."""
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.room > 0:
                return consumer
        return None


class LineConsumer:
    """Fills `Consumer`: one subscriber of a line, with at most `prefetch` unsettled."""

    def __init__(self, line: Line, prefetch: int, deliver: Callable[[Delivery], None]) -> None:
        self._line = line
        self._prefetch = prefetch
        self._deliver = deliver
        self._unsettled = 0

    @property
    def room(self) -> int:
        """How many more may be handed over now."""
        return max(0, self._prefetch - self._unsettled)

    async def stop(self) -> None:
        """Stop deliveries; those handed over before stay the receiver's to settle."""
        if self in self._line.consumers:
            self._line.consumers.remove(self)

    def hand(self, key: Key, envelope: Envelope) -> None:
        """Hand one request over."""
        self._unsettled += 1
        try:
            self._deliver(LineDelivery(self._line, self, key, envelope))
        except Exception:  # noqa: BLE001  because the other deliveries of the batch must go out
            _log.exception("a receiver failed", request=key.id)

    def settled(self) -> None:
        """One of the deliveries is settled."""
        self._unsettled -= 1


class LineDelivery:
    """Fills `Delivery`. Only the record's own steps change the file: an ack writes nothing."""

    def __init__(self, line: Line, consumer: LineConsumer, key: Key, envelope: Envelope) -> None:
        self._line = line
        self._consumer = consumer
        self._key = key
        self._envelope = envelope
        self._settled = False

    @property
    def envelope(self) -> Envelope:
        """The request."""
        return self._envelope

    async def ack(self) -> None:
        """Forget the hand-over."""
        self._settle(requeued=False)

    async def requeue(self) -> None:
        """Put the request back to its old place."""
        self._settle(requeued=True)

    def _settle(self, *, requeued: bool) -> None:
        if self._settled or self._line.closed:
            return
        self._settled = True
        self._consumer.settled()
        self._line.settled(self._key, requeued=requeued)
