"""One life of a consumer: a channel of its own, the prefetch, and what is not settled yet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from broker.amqp import frames
from broker.amqp.counters import Counters
from broker.amqp.hot_channel import HotChannel, Verdict
from broker.amqp.session import RPC_LIMIT_S, Session, close_channel, translated
from schemas.errors import EngineError

CHECK_EVERY_S = 4.0
_STRIKES = 2
# Quorum queues can lose acks that are followed at once by the channel's close.
_LAST_ACKS_S = 0.1
_REFUSED_S = 1.0
_log = structlog.get_logger("penstock.amqp")


class Receipt:
    """Settles one message; harmless when its channel is gone, or when it was settled before."""

    __slots__ = ("_subscription", "_tag")

    def __init__(self, subscription: Subscription, tag: int) -> None:
        self._subscription = subscription
        self._tag = tag

    @property
    def live(self) -> bool:
        """Whether the message can still be settled; if not, it comes back by itself."""
        return self._subscription.owes(self._tag)

    def ack(self) -> None:
        """Forget the message."""
        self._subscription.settle(self._tag, frames.ack)

    def requeue(self) -> None:
        """Put the message back to its place."""
        self._subscription.settle(self._tag, frames.requeue)

    def set_aside(self) -> None:
        """Have RabbitMQ dead-letter the message."""
        self._subscription.settle(self._tag, frames.reject)


@dataclass(slots=True)
class Incoming:
    """A message as it came; content header and deliver are read by those few who need them."""

    body: bytes
    header: bytes
    receipt: Receipt
    deliver: bytes = b""
    redelivered: bool = False


class Subscription:
    """Consumes one queue on one channel until either is lost."""

    def __init__(
        self,
        channels: tuple[AbstractChannel, HotChannel],
        queue: str,
        prefetch: int,
        receive: Callable[[Incoming], None],
        counters: Counters,
    ) -> None:
        self.channel, self._hot = channels
        self._queue = queue
        self._prefetch = prefetch
        self._receive = receive
        self._counters = counters
        self._tag = ""
        self._unsettled: set[int] = set()
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._delivered = 0
        self._delivered_at_check = 0
        self._silenced = False
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls,
        session: Session,
        queue: str,
        prefetch: int,
        receive: Callable[[Incoming], None],
        counters: Counters,
    ) -> Subscription:
        """Open a channel; nothing is delivered before `start`. Raises QueueUnavailable."""
        self = cls(await session.open_hot(), queue, prefetch, receive, counters)
        self._hot.deliver = self._arrive
        self._hot.on_closed = lambda reason: self._end(f"its channel was closed ({reason})")
        self.channel.on_consumer_cancel_callbacks.add(lambda _: self._end("RabbitMQ cancelled it"))
        session.lost.add_done_callback(lambda _: self._end("the connection was lost"))
        return self

    async def start(self) -> None:
        """Set the prefetch and consume. Raises QueueUnavailable."""
        with translated(f"consuming {self._queue}"):
            # The prefetch counts for consumers that start after it.
            await self.channel.basic_qos(prefetch_count=self._prefetch, timeout=RPC_LIMIT_S)
            started = await self.channel.basic_consume(
                self._queue, self._missed, timeout=RPC_LIMIT_S
            )
        self._tag = str(started.consumer_tag)

    async def watch(self) -> str:
        """Return why the subscription ended: it was told so, or deliveries fail to come."""
        strikes = 0
        while True:
            await asyncio.wait({self._ended}, timeout=CHECK_EVERY_S * random.uniform(0.8, 1.0))
            if self._ended.done():
                return self._ended.result()
            try:
                strikes = strikes + 1 if await self._deaf() else 0
            except EngineError as error:
                return str(error)
            if strikes >= _STRIKES:
                return "messages wait, and none is delivered"

    async def cancel(self) -> None:
        """Stop deliveries. What arrives afterwards is put back; what came before stays open."""
        with suppress(EngineError), translated(f"cancelling the consumer of {self._queue}"):
            # Never nowait: deliveries already on their way would be dropped unsettled.
            await self.channel.basic_cancel(self._tag, timeout=RPC_LIMIT_S)
        self._silenced = True

    async def settled(self) -> None:
        """Return when everything handed over is settled, or can no longer be."""
        waiter = asyncio.create_task(self._all_settled.wait())
        either: set[asyncio.Future[Any]] = {waiter, self._ended}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()

    def owes(self, tag: int) -> bool:
        """Tell whether the message with this tag waits for a verdict."""
        return tag in self._unsettled and not self._hot.closed

    def settle(self, tag: int, verdict: Verdict) -> None:
        """Send one verdict. A second one for the same tag would cost the whole channel."""
        if not self.owes(tag):
            self._counters.stale_settles += 1
            _log.debug("amqp_stale_settle", queue=self._queue, tag=tag)
            return
        self._unsettled.discard(tag)
        self._hot.settle(verdict, tag)
        if not self._unsettled:
            self._all_settled.set()

    async def close(self) -> None:
        """Close the channel: what is not settled, or comes now, comes back by itself."""
        # Put back one by one it would be delivered again at once, and count each time.
        self._hot.deliver = None
        if not self._hot.closed:
            await asyncio.sleep(_LAST_ACKS_S)
        await close_channel(self.channel)
        self._end("closed")

    def _arrive(
        self, tag: int, redelivered: bool, deliver: bytes, header: bytes, body: bytes
    ) -> None:
        """Hand over, nothing more, and never raise: the socket is read by who calls this."""
        self._delivered += 1
        self._counters.delivered += 1
        self._counters.redelivered += redelivered
        self._unsettled.add(tag)
        self._all_settled.clear()
        receipt = Receipt(self, tag)
        if self._silenced:
            receipt.requeue()
            return
        try:
            self._receive(Incoming(body, header, receipt, deliver, redelivered))
        except Exception:  # noqa: BLE001  because one bad receiver must not leave a message stuck
            _log.exception("amqp_receiver_failed", queue=self._queue)
            asyncio.get_running_loop().call_later(_REFUSED_S, receipt.requeue)

    async def _missed(self, _message: DeliveredMessage) -> None:
        """Give up on the channel: aiormq is told of no delivery as long as it is claimed."""
        self._end("a delivery went past the tap")

    async def _deaf(self) -> bool:
        """Ask RabbitMQ, on our own channel: if that fails, the channel is of no use either."""
        with translated(f"checking {self._queue}"):
            state = await self.channel.queue_declare(self._queue, passive=True, timeout=RPC_LIMIT_S)
        silent = self._delivered == self._delivered_at_check
        self._delivered_at_check = self._delivered
        has_room = len(self._unsettled) < self._prefetch
        return not state.consumer_count or bool(state.message_count and silent and has_room)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)
