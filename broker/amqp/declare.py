"""Declares exchanges, queues and bindings, once per connection and again when they are missed."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel

from broker.amqp.session import RPC_LIMIT_S, Session, close_channel, translated
from broker.topology import ExchangeSpec, QueueSpec, Topology
from schemas.errors import TopologyDrift

# RabbitMQ tells the consumers of a deleted queue about 30 ms later. One that is declared again
# before that keeps them: they count as consumers, take messages, and never hand any over.
GONE_QUEUE_S = 0.2
# RabbitMQ 3.10 writes down a new queue's name only a second later, at its leisure: killed before
# that, it starts the queue anew without a leader, and confirmed messages are gone. Until then a
# new work queue is not bound, so that nobody can publish to it.
NEW_QUEUE_S = 1.5
WAY_OUT = "Drain and delete it, or give Penstock another namespace."
_SHARED = "shared"
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'"
    r"(?:.*?: (?P<detail>received .*))?"
)


class Declarer:
    """Declares for a whole process: one at a time for each name, and not twice without need."""

    def __init__(self, topology: Topology, new_queue_s: float = NEW_QUEUE_S) -> None:
        self._topology = topology
        self._new_queue_s = new_queue_s
        self._tiers_safe_at = 0.0
        self._declared_at: dict[str, float] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, session: Session) -> None:
        """Declare what exists once on a new connection, and forget what was declared before."""
        self._declared_at.clear()
        await self.shared(session)

    async def shared(self, session: Session, missed_at: float = 0.0) -> None:
        """Declare what exists once: the exchanges, the dead-letter queue, the retry tiers.

        A dead-letter target that is missing when it is needed holds messages up for minutes, so
        exchanges come first and targets before what points at them. The intake comes with its
        queues.
        """
        async with self._locks[_SHARED]:
            if self._fresh(_SHARED, missed_at):
                return
            queues = self._topology.shared_queues()
            new = not await _all_exist(session, queues)
            async with _own_channel(session) as channel:
                for exchange in self._topology.exchanges():
                    if exchange != self._topology.intake:
                        await _declare_exchange(channel, exchange)
                for queue in queues:
                    await _declare_queue(channel, queue)
                    await _bind(channel, queue)
            self._declared_at[_SHARED] = time.monotonic()
            if new:
                self._tiers_safe_at = time.monotonic() + self._new_queue_s

    async def tiers_safe(self) -> None:
        """Wait until the retry tiers are old enough to be trusted with a message."""
        if (pause := self._tiers_safe_at - time.monotonic()) > 0:
            await asyncio.sleep(pause)

    async def ensure(
        self, session: Session, queue: QueueSpec, missed_at: float = 0.0, *, missed: bool = False
    ) -> None:
        """Declare and bind `queue`, unless that was done here after `missed_at`.

        `missed` says that a publish found no way to it: then someone may be declaring it just now.
        """
        async with self._locks[queue.name]:
            if self._fresh(queue.name, missed_at):
                return
            new = missed or not await _all_exist(session, [queue])
            async with _own_channel(session) as channel:
                await _declare_queue(channel, queue)
                if new:
                    await asyncio.sleep(self._new_queue_s)
                if queue.exchange == self._topology.intake.name:
                    await self._intake(session, channel, queue, missed_at)
                await _bind(channel, queue)
            self._declared_at[queue.name] = time.monotonic()

    async def _intake(
        self, session: Session, channel: AbstractChannel, queue: QueueSpec, missed_at: float
    ) -> None:
        """Declare the exchange that clients publish to once the queue of strays takes all it gets.

        RabbitMQ confirms a message that finds no queue, and drops it.
        """
        if queue.strays is None:
            await self.ensure(session, self._topology.stray_queue, missed_at)
        else:
            with translated(f"binding {queue.name}"):
                await channel.queue_bind(queue.name, queue.strays, "", timeout=RPC_LIMIT_S)
            await _declare_exchange(channel, self._topology.intake)

    def _fresh(self, name: str, missed_at: float) -> bool:
        return self._declared_at.get(name, -1.0) >= missed_at


@asynccontextmanager
async def _own_channel(session: Session) -> AsyncIterator[AbstractChannel]:
    """A channel that nobody else uses: a failed declare closes it."""
    channel = await session.open_channel()
    try:
        yield channel
    finally:
        await close_channel(channel)


async def _all_exist(session: Session, queues: list[QueueSpec]) -> bool:
    async with _own_channel(session) as channel:
        with translated("looking for queues", but=(ChannelNotFoundEntity,)):
            try:
                for queue in queues:
                    await channel.queue_declare(queue.name, passive=True, timeout=RPC_LIMIT_S)
            except ChannelNotFoundEntity:
                return False
    return True


async def _declare_exchange(channel: AbstractChannel, exchange: ExchangeSpec) -> None:
    with _drift_told(exchange.name):
        await channel.exchange_declare(
            exchange.name,
            exchange_type=exchange.kind,
            durable=True,
            arguments=dict(exchange.arguments),
            timeout=RPC_LIMIT_S,
        )


async def _declare_queue(channel: AbstractChannel, queue: QueueSpec) -> None:
    with _drift_told(queue.name):
        await channel.queue_declare(
            queue.name, durable=True, arguments=dict(queue.arguments), timeout=RPC_LIMIT_S
        )


async def _bind(channel: AbstractChannel, queue: QueueSpec) -> None:
    with translated(f"binding {queue.name}"):
        await channel.queue_bind(queue.name, queue.exchange, queue.routing_key, timeout=RPC_LIMIT_S)


@contextmanager
def _drift_told(name: str) -> Iterator[None]:
    refused = (ChannelPreconditionFailed,)
    try:
        with translated(f"declaring {name}", but=refused):
            yield
    except refused as error:
        raise drift(str(error), name) from error


def drift(answer: str, name: str) -> TopologyDrift:
    """Return the error for RabbitMQ's 406 `answer`: what differs, and the way out."""
    return TopologyDrift(f"{difference(answer, name)} {WAY_OUT}")


def difference(answer: str, name: str) -> str:
    """Return what RabbitMQ's 406 `answer` says, as a sentence."""
    found = _INEQUIVALENT.search(answer)
    if found is None:
        return f"RabbitMQ refuses to declare {name}: {answer}"
    detail = f" ({found['detail']})" if found["detail"] else ""
    return (
        f"{found['kind'].capitalize()} {found['name']} exists with another `{found['argument']}` "
        f"than Penstock declares{detail}."
    )
