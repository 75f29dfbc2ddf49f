"""RabbitMQ absent, killed, frozen or in alarm: what is confirmed stays, and all comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from broker.amqp.adapter import AmqpQueue
from broker.amqp.declare import NEW_QUEUE_S
from broker.ports import Delivery
from schemas.errors import QueueUnavailable
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.integration.amqp import eventually, healthy, running
from tests.servers.rabbitmq import RabbitMQNode

pytestmark = pytest.mark.realservers


@pytest.fixture(scope="module")
def module_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    node = RabbitMQNode(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield node
    finally:
        node.stop()


@pytest.fixture
def node(module_node: RabbitMQNode) -> RabbitMQNode:
    """A node of this module's own, running."""
    module_node.start()
    return module_node


async def test_rabbitmq_may_come_after_us(module_node: RabbitMQNode) -> None:
    module_node.kill()
    queue = AmqpQueue(module_node.url, "later")
    began = time.monotonic()
    await queue.start()
    assert time.monotonic() - began < 0.1
    inbox = Inbox()
    consumer = await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
    with pytest.raises(QueueUnavailable, match="not reachable"):
        await queue.publish(make_envelope())
    assert time.monotonic() - began < 5.5
    assert "not reachable" in (await queue.health() or "")
    with pytest.raises(QueueUnavailable):
        await queue.depth("m", Priority.NORMAL)
    await asyncio.to_thread(module_node.start)
    assert await healthy(queue) < 8
    await queue.publish(make_envelope())
    await (await inbox.count(1))[0].ack()
    await consumer.stop()
    await queue.stop()


async def test_stop_without_rabbitmq_is_quick(module_node: RabbitMQNode) -> None:
    module_node.kill()
    never_started = AmqpQueue(module_node.url, "stopped")
    await never_started.stop()
    queue = AmqpQueue(module_node.url, "stopped")
    await queue.start()
    await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, Inbox())
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await queue.stop()
    assert time.monotonic() - began < 1
    assert await queue.health() is not None


@pytest.mark.parametrize("after", [1, 250])
async def test_what_was_confirmed_before_a_kill_is_there(node: RabbitMQNode, after: int) -> None:
    async with running(node.url, new_queue_s=NEW_QUEUE_S) as queue:
        confirmed = set[str]()
        sent = set[str]()

        async def keep_publishing() -> None:
            for _ in range(20):
                envelope = make_envelope(priority=Priority.HIGH)
                sent.add(envelope.id)
                try:
                    await queue.publish(envelope)
                except QueueUnavailable:
                    return
                confirmed.add(envelope.id)

        publishers = [asyncio.create_task(keep_publishing()) for _ in range(200)]
        await eventually(lambda: _true(len(confirmed) >= after), every_s=0.001)
        node.kill()
        began = time.monotonic()
        await asyncio.gather(*publishers)
        assert time.monotonic() - began < 6
        await asyncio.to_thread(node.restart)
        await healthy(queue)
        inbox = Inbox()
        await queue.consume("m", Priority.HIGH, Lane.OPEN, 1000, inbox)
        await inbox.until(lambda: confirmed <= set(inbox.ids))
        assert set(inbox.ids) <= sent
        assert len(confirmed) < 4000
        print(f"{len(sent)} sent, {len(confirmed)} confirmed, {len(set(inbox.ids))} there")
        await inbox.ack_all()


async def test_consumers_come_back_with_their_own_prefetch(node: RabbitMQNode) -> None:
    async with running(node.url, new_queue_s=NEW_QUEUE_S) as queue:
        for priority in (Priority.HIGH, Priority.LOW):
            for _ in range(8):
                await queue.publish(make_envelope(priority=priority))
        high, low = Inbox(), Inbox()
        await queue.consume("m", Priority.HIGH, Lane.OPEN, 5, high)
        await queue.consume("m", Priority.LOW, Lane.OPEN, 1, low)
        await high.count(5)
        await low.count(1)
        node.kill()
        await eventually(lambda: _unwell(queue))
        for delivery in (high.got[0], low.got[0]):
            await delivery.ack()
            await delivery.requeue()
        assert queue.counters.stale_settles == 4
        await asyncio.to_thread(node.restart)
        took = await healthy(queue)
        await high.count(10)
        await low.count(2)
        print(f"consuming again {took:.1f} s after the server was back")
        await asyncio.sleep(0.5)
        assert (len(high.got), len(low.got)) == (10, 2)
        for delivery in high.got[5:] + low.got[1:]:
            await delivery.ack()
        await high.count(13)
        # After a crash the queue's order is only roughly kept; that each came is what counts.
        assert len(set(high.ids[5:])) == 8
        await high.ack_all()


async def test_an_alarm_stops_publishing_but_not_consuming(node: RabbitMQNode) -> None:
    async with running(node.url, new_queue_s=NEW_QUEUE_S) as queue:
        for _ in range(3):
            await queue.publish(make_envelope())
        await asyncio.to_thread(
            node.place.control, "set_vm_memory_high_watermark", "absolute", "1MB"
        )
        try:
            began = time.monotonic()
            late = [make_envelope(body=b"x" * 1_000_000) for _ in range(30)]
            publishes = asyncio.gather(
                *(queue.publish(envelope) for envelope in late), return_exceptions=True
            )
            await asyncio.sleep(2)
            # What the server does not take waits where it is, not in a buffer of the socket.
            assert _unsent(queue) < 3_000_000
            outcomes = await publishes
            assert time.monotonic() - began < 6
            assert all(isinstance(outcome, QueueUnavailable) for outcome in outcomes)
            assert "alarm" in (await queue.health() or "")
            inbox = Inbox()
            await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
            for count in range(1, 4):
                await (await inbox.count(count))[-1].ack()
        finally:
            await asyncio.to_thread(
                node.place.control, "set_vm_memory_high_watermark", "absolute", "1GB"
            )
        await healthy(queue)
        last = make_envelope()
        await queue.publish(last)
        while last.id not in inbox.ids:
            await inbox.got[-1].ack()
            await inbox.count(len(inbox.got) + 1)
        assert set(inbox.ids[3:-1]) <= {envelope.id for envelope in late}
        await inbox.ack_all()


async def test_a_frozen_server_is_given_up_and_taken_back(node: RabbitMQNode) -> None:
    async with running(node.url, new_queue_s=NEW_QUEUE_S) as queue:
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        await queue.publish(make_envelope())
        (held,) = await inbox.count(1)
        os.kill(node.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(QueueUnavailable):
                await queue.publish(make_envelope())
            assert time.monotonic() - began < 5.5
            await eventually(lambda: _unwell(queue), timeout_s=10)
            await eventually(lambda: _is_gone(queue), timeout_s=10)
            await held.ack()
        finally:
            os.kill(node.pid, signal.SIGCONT)
        took = await healthy(queue)
        print(f"healthy {took:.1f} s after the thaw")
        await inbox.count(2)
        await inbox.got[-1].ack()
        await queue.publish(make_envelope())
        await inbox.count(3)
        await inbox.ack_all()


async def test_connections_closed_by_the_operator_cost_no_message(node: RabbitMQNode) -> None:
    async with running(node.url, new_queue_s=NEW_QUEUE_S) as queue:
        await queue.publish(make_envelope(priority=Priority.LOW))
        got, confirmed = set[str](), set[str]()
        acks = set[asyncio.Task[None]]()

        def deliver(delivery: Delivery) -> None:
            got.add(delivery.envelope.id)
            task = asyncio.create_task(delivery.ack())
            acks.add(task)
            task.add_done_callback(acks.discard)

        async def publish_until_confirmed(count: int) -> None:
            for _ in range(count):
                envelope = make_envelope()
                while envelope.id not in confirmed:
                    try:
                        await queue.publish(envelope)
                    except QueueUnavailable:
                        await asyncio.sleep(0.05)
                    else:
                        confirmed.add(envelope.id)

        async def more_than(count: int) -> bool:
            return len(confirmed) > count

        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 64, deliver)
        publishers = asyncio.gather(*(publish_until_confirmed(150) for _ in range(32)))
        for share in (1000, 3000):
            await eventually(partial(more_than, share), every_s=0.01)
            await asyncio.to_thread(node.place.control, "close_all_connections", "on purpose")
        await publishers
        await eventually(lambda: _true(confirmed <= got))
    assert len(confirmed) == 32 * 150
    assert queue.counters.connections_lost >= 2


async def _true(holds: bool) -> bool:
    return holds


def _unsent(queue: AmqpQueue) -> int:
    """Bytes that the publishing connection holds for the socket."""
    session = queue._out._session
    assert session is not None
    writer = session._connection.sockets._writer
    assert writer is not None
    return writer.transport.get_write_buffer_size()


async def _unwell(queue: AmqpQueue) -> bool:
    return await queue.health() is not None


async def _is_gone(queue: AmqpQueue) -> bool:
    return queue._in.trouble is not None
