"""Keeps a queue consumed: a new subscription after every loss, until it is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from broker.amqp.connection import STABLE_S, Link
from broker.amqp.counters import Counters
from broker.amqp.declare import GONE_QUEUE_S, Declarer
from broker.amqp.subscription import Incoming, Receipt, Subscription
from broker.lifecycle import Tasks, backoff, cancelled_from_outside
from broker.ports import Delivery
from broker.topology import QueueSpec
from schemas.codec import BadEnvelope, decode
from schemas.envelope import Envelope
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.amqp")


class QueueConsumer:
    """Hands every message of one queue to `receive`; survives whatever happens below."""

    def __init__(
        self,
        link: Link,
        declarer: Declarer,
        queue: QueueSpec,
        prefetch: int,
        receive: Callable[[Incoming], None],
        counters: Counters,
    ) -> None:
        self._link = link
        self._declarer = declarer
        self._queue = queue
        self._prefetch = prefetch
        self._receive = receive
        self._counters = counters
        self._tasks = Tasks(f"amqp consumer {queue.name}")
        self._subscription: Subscription | None = None
        self._stopping = asyncio.Event()
        self._quiet = asyncio.Event()
        self.trouble: str | None = None
        self.last_trouble = ""
        self.ended = False
        self._cancel = self._tasks.supervise("consume", self._run)

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._queue.name

    async def stop(self) -> None:
        """Stop deliveries; what was handed over can still be settled."""
        self._stopping.set()
        if self._subscription is None:
            self._cancel()
        else:
            await self._quiet.wait()

    async def close(self) -> None:
        """End at once: unsettled messages come back by themselves."""
        self._stopping.set()
        if self._subscription is not None:
            await self._subscription.close()
        await self._tasks.stop()

    async def _run(self) -> None:
        pauses = backoff()
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    await self._live()
                except EngineError as error:
                    self._note(str(error))
                if time.monotonic() - began > STABLE_S:
                    pauses = backoff()
                await self._pause(next(pauses))
        finally:
            self.ended = self._stopping.is_set()

    async def _live(self) -> None:
        session = await self._link.session()
        # Declared in every life: its queue may be what was lost.
        await self._declarer.ensure(session, self._queue, missed_at=time.monotonic())
        subscription = await Subscription.open(
            session, self._queue.name, self._prefetch, self._receive, self._counters
        )
        # From here on deliveries can come, so `stop` goes the long way.
        self._subscription = subscription
        self._quiet.clear()
        try:
            if cancelled_from_outside():
                # Python 3.11's wait_for, inside the client, can swallow a cancel.
                raise asyncio.CancelledError
            await subscription.start()
            self.trouble = None
            await self._until_lost_or_stopped(subscription)
        finally:
            self._subscription = None
            self._quiet.set()
            with suppress(RuntimeError):  # the tasks are stopped, and `close` has done it
                await self._tasks.finish("close the channel", subscription.close())

    async def _until_lost_or_stopped(self, subscription: Subscription) -> None:
        watch = asyncio.create_task(subscription.watch())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({watch, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                self._counters.subscriptions_lost += 1
                self._note(f"{self.name} is not consumed: {watch.result()}")
                await asyncio.sleep(GONE_QUEUE_S)
                return
        finally:
            watch.cancel()
            stopping.cancel()
        await subscription.cancel()
        self._quiet.set()
        await subscription.settled()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.warning("amqp_consumer_trouble", queue=self.name, trouble=trouble)
        self.trouble = self.last_trouble = trouble


class AmqpDelivery:
    """A request as RabbitMQ handed it over."""

    __slots__ = ("_receipt", "envelope")

    def __init__(self, envelope: Envelope, receipt: Receipt) -> None:
        self.envelope = envelope
        self._receipt = receipt

    async def ack(self) -> None:
        """Forget the message."""
        self._receipt.ack()

    async def requeue(self) -> None:
        """Put the message back to its old place, for any worker."""
        self._receipt.requeue()


class Reader:
    """Turns messages into deliveries; what is not ours is set aside, for `penstock.dead`."""

    def __init__(self, queue: str, deliver: Callable[[Delivery], None], counters: Counters) -> None:
        self._queue = queue
        self._deliver = deliver
        self._counters = counters

    def __call__(self, incoming: Incoming) -> None:
        """Decode and hand over one message."""
        try:
            envelope = decode(incoming.body)
        except BadEnvelope as error:
            self._counters.foreign += 1
            _log.warning("amqp_foreign_message", queue=self._queue, reason=str(error))
            incoming.receipt.set_aside()
            return
        self._deliver(AmqpDelivery(envelope, incoming.receipt))
