"""The queue port on RabbitMQ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from broker.amqp.connection import Link
from broker.amqp.consumer import QueueConsumer, Reader
from broker.amqp.counters import Counters
from broker.amqp.dead_letters import PREFETCH, DeadLetterReader
from broker.amqp.declare import NEW_QUEUE_S, Declarer
from broker.amqp.depth import DepthGauge
from broker.amqp.publisher import Outgoing, Publisher
from broker.amqp.replies import AmqpReplies
from broker.amqp.submissions import AmqpSubmissions
from broker.lifecycle import Tasks
from broker.ports import Consumer, DeadLetter, Delivery, QueueDepth
from broker.topology import TIERS, QueueSpec, Topology, tier_for
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.errors import ConfigError, EngineError
from schemas.priority import PRIORITIES, Lane, Priority


class AmqpQueue:
    """Fills `broker.ports.Queue`. Works without RabbitMQ too: then everything waits or fails soon.

    Publishing and consuming have a connection each: an alarm stops the one that publishes, acks
    included.
    """

    def __init__(
        self, url: str, namespace: str = "penstock", *, new_queue_s: float = NEW_QUEUE_S
    ) -> None:
        if not url.startswith(("amqp://", "amqps://")):
            raise ConfigError("amqp_url must begin with amqp:// or amqps://.")
        self.namespace = namespace
        self.counters = Counters()
        self._topology = Topology(namespace)
        self._declarer = Declarer(self._topology, new_queue_s)
        self._out = Link(url, "publish", self._declarer.begin, self.counters)
        self._in = Link(url, "consume", self._declarer.begin, self.counters)
        self._publisher = Publisher(self._out, self._declarer, self.counters)
        self.replies = AmqpReplies(self._out)
        self.submissions = AmqpSubmissions(self._in, self._declarer, self._topology, self.counters)
        self._gauge = DepthGauge(self._in)
        self._tasks = Tasks("amqp queue")
        self._consumers: list[QueueConsumer] = []

    async def start(self) -> None:
        """Begin to connect; RabbitMQ may come later."""
        self._out.start()
        self._in.start()

    async def stop(self) -> None:
        """Let publishes end, then close everything; what is unsettled comes back by itself."""
        await self._publisher.stop()
        await self.replies.stop()
        for consumer in self._consumers:
            await consumer.close()
        await self.submissions.close()
        await self._tasks.stop()
        await self._in.stop()
        await self._out.stop()

    async def health(self) -> str | None:
        """Return None when all is well, else a sentence."""
        for trouble in (await self._out.health(), await self._in.health()):
            if trouble is not None:
                return trouble
        trouble = next((each.trouble for each in self._consumers if each.trouble), None)
        return trouble or self.submissions.trouble

    async def publish(self, envelope: Envelope) -> None:
        """Store a message durably; see the port."""
        await self._publisher.publish(self._outgoing(envelope))

    async def publish_all(self, envelopes: Sequence[Envelope]) -> Sequence[EngineError | None]:
        """Publish many at once; see the port."""
        return await self._publisher.publish_all([self._outgoing(each) for each in envelopes])

    async def publish_later(self, envelope: Envelope, delay_s: float) -> None:
        """Store a copy that comes back later; see the port."""
        queue = self._queue_of(envelope)
        tier = self._topology.retry_exchange(tier_for(delay_s))
        await self._publisher.publish(Outgoing(tier.name, queue, encode(envelope), envelope.id))

    async def consume(
        self,
        model: str,
        priority: Priority,
        lane: Lane,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> Consumer:
        """Hand deliveries to `deliver`; see the port."""
        queue = self._topology.work_queue(model, priority, lane)
        reader = Reader(queue.name, deliver, self.counters)
        return self._keep(
            QueueConsumer(self._in, self._declarer, queue, prefetch, reader, self.counters)
        )

    async def consume_dead(self, receive: Callable[[DeadLetter], object]) -> Consumer:
        """Hand dead letters to the async `receive`; see the port."""
        reader = DeadLetterReader(receive, self._tasks, self.counters)
        queue = self._topology.dead_queue
        return self._keep(
            QueueConsumer(self._in, self._declarer, queue, PREFETCH, reader, self.counters)
        )

    async def depth(self, model: str, priority: Priority) -> int:
        """Return how many messages wait undelivered, in both lanes."""
        queues = (self._topology.work_queue(model, priority, lane) for lane in Lane)
        return sum([await self._gauge.ready(queue.name) for queue in queues])

    async def tiers_empty(self) -> bool:
        """Tell whether no message waits in any retry tier; one seen as empty may be on its way."""
        for tier in TIERS:
            if await self._gauge.ready(self._topology.retry_queue(tier).name):
                return False
        return True

    async def survey(self, models: Sequence[str]) -> list[QueueDepth]:
        """Return every queue with what waits in it; unacknowledged messages are not seen."""
        work = [
            QueueDepth(queue.name, await self._gauge.ready(queue.name), model, priority, lane)
            for model in models
            for priority in PRIORITIES
            for lane in Lane
            for queue in (self._topology.work_queue(model, priority, lane),)
        ]
        shared = [
            QueueDepth(queue.name, await self._gauge.ready(queue.name))
            for queue in self._topology.shared_queues() + self._topology.intake_queues()
        ]
        return work + shared

    def _outgoing(self, envelope: Envelope) -> Outgoing:
        queue = self._queue_of(envelope)
        return Outgoing(queue.exchange, queue, encode(envelope), envelope.id)

    def _queue_of(self, envelope: Envelope) -> QueueSpec:
        return self._topology.work_queue(envelope.model, envelope.priority, envelope.lane)

    def _keep(self, consumer: QueueConsumer) -> QueueConsumer:
        self._consumers = [each for each in self._consumers if not each.ended]
        self._consumers.append(consumer)
        return consumer
