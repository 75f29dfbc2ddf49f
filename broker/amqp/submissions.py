"""Consumes the intake: what clients publish, in one queue a priority."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from broker.amqp import frames
from broker.amqp.connection import Link
from broker.amqp.consumer import QueueConsumer
from broker.amqp.counters import Counters
from broker.amqp.declare import Declarer
from broker.amqp.properties import BadProperties, Properties, read
from broker.amqp.subscription import Incoming
from broker.ports import Consumer, Submission
from broker.topology import Topology

# For each priority and process; one takes a few milliseconds.
PREFETCH = 64
_log = structlog.get_logger("penstock.amqp")


class AmqpSubmissions:
    """Fills `broker.ports.Submissions`."""

    def __init__(
        self, link: Link, declarer: Declarer, topology: Topology, counters: Counters
    ) -> None:
        self._link = link
        self._declarer = declarer
        self._topology = topology
        self._counters = counters
        self._consumers: list[QueueConsumer] = []

    @property
    def trouble(self) -> str | None:
        """Why one of the queues is not consumed now, in a sentence."""
        return next((each.trouble for each in self._consumers if each.trouble), None)

    async def consume(self, take: Callable[[Submission], None]) -> Consumer:
        """Hand submissions to `take`; see the port."""
        reader = _Reader(take, self._counters)
        self._consumers = [
            QueueConsumer(self._link, self._declarer, queue, PREFETCH, reader, self._counters)
            for queue in self._topology.intake_queues()
        ]
        for consumer in self._consumers:
            # Until then clients have nothing to publish to.
            consumer.trouble = f"{consumer.name} is not consumed yet"
        return _All(self._consumers)

    async def close(self) -> None:
        """End at once: what is unsettled comes back by itself."""
        await asyncio.gather(*(consumer.close() for consumer in self._consumers))


class _All:
    """The consumers of all intake queues as one."""

    def __init__(self, consumers: Sequence[QueueConsumer]) -> None:
        self._consumers = consumers

    async def stop(self) -> None:
        """Stop deliveries; what was handed over can still be settled."""
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))


class _Reader:
    """Turns messages into submissions; what cannot be read can be answered by nobody."""

    def __init__(self, take: Callable[[Submission], None], counters: Counters) -> None:
        self._take = take
        self._counters = counters

    def __call__(self, incoming: Incoming) -> None:
        """Read and hand over one message."""
        try:
            properties = read(incoming.header)
            key = frames.routing_key(incoming.deliver)
        except (BadProperties, ValueError) as error:
            self._counters.foreign += 1
            _log.warning("amqp_unreadable_submission", reason=str(error))
            incoming.receipt.set_aside()
            return
        self._take(_submission(incoming, key, properties))


def _submission(incoming: Incoming, key: str, properties: Properties) -> Submission:
    return Submission(
        body=incoming.body,
        routing_key=key,
        receipt=incoming.receipt,
        redelivered=incoming.redelivered,
        user_id=properties.user_id,
        reply_to=properties.reply_to,
        correlation_id=properties.correlation_id,
        message_id=properties.message_id,
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        expiration=properties.expiration,
        kind=properties.kind,
        headers=properties.headers,
    )
