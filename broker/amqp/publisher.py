"""Publishes: confirmed, mandatory, within a time limit, and never cut short by its caller."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import uuid4

from aio_pika.exceptions import (
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)
from aiormq import spec
from aiormq.abc import AbstractChannel

from broker.amqp.connection import Link
from broker.amqp.counters import Counters
from broker.amqp.declare import GONE_QUEUE_S, Declarer
from broker.amqp.session import Session, close_channel, translated
from broker.lifecycle import Tasks
from broker.topology import QueueSpec
from schemas.errors import QueueUnavailable

PUBLISH_LIMIT_S = 5.0
# RabbitMQ 4 takes 16 MiB a message; one more byte closes the channel under all its publishes.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# During the election of a queue's leader a channel can refuse every publish for good; a new one
# works as soon as there is a leader.
_NACK_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)
_REFUSALS = (DeliveryError, ChannelNotFoundEntity, ChannelInvalidStateError)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to `queue`, by `exchange` (a tier's, or that of the queue itself)."""

    exchange: str
    queue: QueueSpec
    body: bytes
    request_id: str

    @property
    def direct(self) -> bool:
        """Whether it goes to its queue at once, through no tier."""
        return self.exchange == self.queue.exchange


@dataclass(slots=True, eq=False)
class _Shared:
    """The channel that publishes go to now; once retired it is closed after its last one."""

    session: Session
    channel: AbstractChannel
    in_flight: int = 0
    retired: bool = False

    @property
    def usable(self) -> bool:
        return not (self.retired or self.channel.is_closed or self.session.lost.done())


class Publisher:
    """Publishes on one connection; many publishes are in flight at once."""

    def __init__(self, link: Link, declarer: Declarer, counters: Counters) -> None:
        self._link = link
        self._declarer = declarer
        self._counters = counters
        self._tasks = Tasks("amqp publisher")
        self._shared: _Shared | None = None
        self._opening = asyncio.Lock()
        self._stopped = False

    async def publish(self, message: Outgoing) -> None:
        """Return once `message` is confirmed.

        Raises QueueUnavailable (the outcome is unknown) or TopologyDrift. A cancelled caller does
        not stop the publish: it is on its way, and its outcome must not take others along.
        """
        if self._stopped:
            raise QueueUnavailable("The queue is stopped.")
        if len(message.body) > MAX_MESSAGE_BYTES:
            raise QueueUnavailable(f"{len(message.body)} bytes are more than RabbitMQ takes.")
        await self._tasks.finish("publish", self._within_limit(message))

    async def stop(self) -> None:
        """Let publishes in flight end within their limit; later ones are refused."""
        self._stopped = True
        await self._tasks.stop(grace_s=PUBLISH_LIMIT_S)

    async def _within_limit(self, message: Outgoing) -> None:
        try:
            async with asyncio.timeout(PUBLISH_LIMIT_S):
                await self._until_confirmed(message)
        except TimeoutError as error:
            self._counters.unconfirmed += 1
            reason = self._link.trouble or "it is connected"
            raise QueueUnavailable(
                f"RabbitMQ confirmed nothing in {PUBLISH_LIMIT_S:g} s ({reason})."
            ) from error
        except asyncio.CancelledError as error:
            # Ours are cancelled by nobody but `stop`; whoever waits must hear of it as a failure.
            raise QueueUnavailable("The queue was stopped before a confirm came.") from error
        self._counters.confirmed += 1

    async def _until_confirmed(self, message: Outgoing) -> None:
        pauses = iter(_NACK_PAUSES_S)
        declared = False
        while True:
            shared = await self._usable()
            if not message.direct:
                # RabbitMQ holds what leaves a tier for nowhere, and looks again only much later.
                await self._declarer.ensure(shared.session, message.queue)
                await self._declarer.tiers_safe()
            sent_at = time.monotonic()
            refusal = await self._once(shared, message)
            match refusal:
                case None:
                    return
                case ChannelInvalidStateError():
                    self._retire(shared)  # it was closed before anything was sent
                case PublishError() | ChannelNotFoundEntity() if not declared:
                    self._counters.returned += 1
                    await self._declare(shared.session, message, sent_at, refusal)
                    declared = True
                case DeliveryError() if not isinstance(refusal, PublishError):
                    self._counters.nacked += 1
                    self._retire(shared)
                    pause = next(pauses, None)
                    if pause is None:
                        raise QueueUnavailable(f"RabbitMQ refuses messages: {refusal}")
                    await asyncio.sleep(pause)
                case _:
                    raise QueueUnavailable(f"RabbitMQ has no way to {message.queue.name}.")

    async def _once(self, shared: _Shared, message: Outgoing) -> Exception | None:
        """Publish; return None once confirmed, or RabbitMQ's refusal."""
        # aiormq matches returns by message_id, so each attempt has its own.
        properties = spec.Basic.Properties(
            content_type="application/msgpack",
            delivery_mode=2,
            message_id=uuid4().hex,
            correlation_id=message.request_id,
        )
        shared.in_flight += 1
        try:
            with translated("RabbitMQ did not confirm", but=_REFUSALS):
                await shared.channel.basic_publish(
                    message.body,
                    exchange=message.exchange,
                    routing_key=message.queue.routing_key,
                    properties=properties,
                    mandatory=True,
                )
        except _REFUSALS as refusal:
            return refusal
        except asyncio.CancelledError:
            # No confirm in time: the channel may be the one that never answers again.
            self._retire(shared)
            raise
        finally:
            shared.in_flight -= 1
            self._close_if_done(shared)
        return None

    async def _declare(
        self, session: Session, message: Outgoing, missed_at: float, refusal: Exception
    ) -> None:
        if isinstance(refusal, ChannelNotFoundEntity) or not message.direct:
            await self._declarer.shared(session, missed_at)
        if message.direct:
            await asyncio.sleep(GONE_QUEUE_S)
            await self._declarer.ensure(session, message.queue, missed_at, missed=True)

    async def _usable(self) -> _Shared:
        """Return the channel of the moment, opening one if need be."""
        shared = self._shared
        if shared is not None and shared.usable:
            return shared
        async with self._opening:
            if self._shared is None or not self._shared.usable:
                session = await self._link.session()
                self._shared = _Shared(session, await session.open_channel(confirms=True))
            return self._shared

    def _retire(self, shared: _Shared) -> None:
        shared.retired = True
        self._close_if_done(shared)

    def _close_if_done(self, shared: _Shared) -> None:
        finished = shared.retired and not shared.in_flight and not shared.channel.is_closed
        if finished and not self._stopped:
            self._tasks.spawn("close a retired channel", close_channel(shared.channel))
