"""Declares exchanges, queues and bindings, once per connection and again when they are missed."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.abc import AbstractChannel

from broker.amqp.session import RPC_LIMIT_S, Session, close_channel, translated
from broker.topology import ExchangeSpec, QueueSpec, Topology
from schemas.errors import TopologyDrift

# RabbitMQ tells the consumers of a deleted queue about 30 ms later. One that is declared again
# before that keeps them: they count as consumers, take messages, and never hand any over.
GONE_QUEUE_S = 0.2
_SHARED = "shared"
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'"
    r"(?:.*?: (?P<detail>received .*))?"
)


class Declarer:
    """Declares on one connection; what it has declared there it does not declare again."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._declared_at: dict[str, float] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, session: Session) -> None:
        """Declare what exists once on a new connection, and forget what was declared before."""
        self._declared_at.clear()
        await self.shared(session)

    async def shared(self, session: Session, missed_at: float = 0.0) -> None:
        """Declare what exists once: all exchanges, the dead-letter queue, the retry tiers.

        A dead-letter target that is missing when it is needed holds messages up for minutes, so
        all exchanges come first and targets before what points at them.
        """
        await self._once(session, _SHARED, missed_at, self._declare_shared)

    async def ensure(self, session: Session, queue: QueueSpec, missed_at: float = 0.0) -> None:
        """Declare and bind `queue`, unless that was done here after `missed_at`."""
        await self._once(
            session, queue.name, missed_at, lambda channel: _declare_queue(channel, queue)
        )

    async def _once(
        self,
        session: Session,
        name: str,
        missed_at: float,
        declare: Callable[[AbstractChannel], Awaitable[None]],
    ) -> None:
        async with self._locks[name]:
            if self._declared_at.get(name, -1.0) >= missed_at:
                return
            # A failed declare closes its channel, so it gets one that nobody else uses.
            channel = await session.open_channel()
            try:
                await declare(channel)
            finally:
                await close_channel(channel)
            self._declared_at[name] = time.monotonic()

    async def _declare_shared(self, channel: AbstractChannel) -> None:
        for exchange in self._topology.exchanges():
            await _declare_exchange(channel, exchange)
        for queue in self._topology.shared_queues():
            await _declare_queue(channel, queue)


async def _declare_exchange(channel: AbstractChannel, exchange: ExchangeSpec) -> None:
    with translated(f"declaring exchange {exchange.name}"):
        try:
            await channel.exchange_declare(
                exchange.name, exchange_type=exchange.kind, durable=True, timeout=RPC_LIMIT_S
            )
        except ChannelPreconditionFailed as error:
            raise drift(str(error), exchange.name) from error


async def _declare_queue(channel: AbstractChannel, queue: QueueSpec) -> None:
    with translated(f"declaring queue {queue.name}"):
        try:
            await channel.queue_declare(
                queue.name, durable=True, arguments=dict(queue.arguments), timeout=RPC_LIMIT_S
            )
        except ChannelPreconditionFailed as error:
            raise drift(str(error), queue.name) from error
        await channel.queue_bind(queue.name, queue.exchange, queue.routing_key, timeout=RPC_LIMIT_S)


def drift(answer: str, name: str) -> TopologyDrift:
    """Return the error for RabbitMQ's 406 `answer`: what differs, and the way out."""
    found = _INEQUIVALENT.search(answer)
    way_out = "Drain and delete it, or give Penstock another namespace."
    if found is None:
        return TopologyDrift(f"RabbitMQ refuses to declare {name}: {answer} {way_out}")
    detail = f" ({found['detail']})" if found["detail"] else ""
    return TopologyDrift(
        f"{found['kind'].capitalize()} {found['name']} exists with another `{found['argument']}` "
        f"than Penstock declares{detail}. {way_out}"
    )
