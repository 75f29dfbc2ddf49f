"""Consuming from a real RabbitMQ: prefetch, settling, stopping, losses on a living server."""

from __future__ import annotations

import asyncio

import pytest

from broker.amqp.adapter import AmqpQueue
from broker.amqp.subscription import Subscription
from broker.ports import Delivery
from broker.topology import Topology
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.integration.amqp import eventually, outside, running

pytestmark = pytest.mark.realservers


async def test_prefetch_bounds_what_is_unsettled_and_an_ack_makes_room(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        for _ in range(6):
            await queue.publish(make_envelope())
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 2, inbox)
        await inbox.count(2)
        await asyncio.sleep(0.3)
        assert len(inbox.got) == 2
        await inbox.got[0].ack()
        await inbox.count(3)
        await inbox.ack_all()


async def test_a_requeued_message_comes_back_to_its_old_place(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        for _ in range(3):
            await queue.publish(make_envelope())
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        (first,) = await inbox.count(1)
        await first.requeue()
        await inbox.count(2)
        assert inbox.ids[1] == inbox.ids[0]
        await inbox.ack_all()


async def test_settling_twice_is_harmless(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        await queue.publish(make_envelope())
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        (delivery,) = await inbox.count(1)
        await delivery.ack()
        await delivery.ack()
        await delivery.requeue()
        assert queue.counters.stale_settles == 2
        await queue.publish(make_envelope())
        await inbox.count(2)
        assert queue.counters.subscriptions_lost == 0
        await inbox.ack_all()


async def test_stop_keeps_what_was_handed_over_ackable(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        for _ in range(4):
            await queue.publish(make_envelope())
        inbox = Inbox()
        consumer = await queue.consume("m", Priority.NORMAL, Lane.OPEN, 2, inbox)
        await inbox.count(2)
        await consumer.stop()
        await inbox.got[0].ack()
        await asyncio.sleep(0.3)
        assert len(inbox.got) == 2
        await inbox.got[1].ack()
        assert queue.counters.stale_settles == 0
        again = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 10, again)
        await again.count(2)
        await asyncio.sleep(0.3)
        assert len(again.got) == 2
        assert not set(again.ids) & set(inbox.ids)
        await again.ack_all()


async def test_what_is_unsettled_at_the_end_comes_back(amqp_url: str) -> None:
    async with running(amqp_url) as other:
        queue = AmqpQueue(amqp_url, other.namespace)
        await queue.start()
        await queue.publish(make_envelope())
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        await inbox.count(1)
        await queue.stop()
        await inbox.got[0].ack()
        again = Inbox()
        await other.consume("m", Priority.NORMAL, Lane.OPEN, 1, again)
        await again.count(1)
        assert again.ids == inbox.ids
        await again.ack_all()


async def test_a_stop_at_any_moment_ends(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        for pause in (0.0, 0.001, 0.01, 0.03, 0.1):
            consumer = await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, Inbox())
            await asyncio.sleep(pause)
            async with asyncio.timeout(5):
                await consumer.stop()
                await consumer.stop()


async def test_an_end_at_any_moment_is_quick(amqp_url: str) -> None:
    async with running(amqp_url) as other:
        await other.publish(make_envelope())
        for turns in range(12):
            queue = AmqpQueue(amqp_url, other.namespace)
            await queue.start()
            inbox = Inbox()
            await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
            await inbox.count(1)
            for _ in range(turns // 3):
                await asyncio.sleep(0)
            async with asyncio.timeout(2):
                await queue.stop()


async def test_a_channel_closed_by_the_server_is_replaced(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        await queue.publish(make_envelope())
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        (first,) = await inbox.count(1)
        await eventually(lambda: _true(queue._consumers[0]._subscription is not None))
        await _subscription(queue).channel.basic_ack(4711)
        await inbox.count(2)
        assert inbox.ids[1] == inbox.ids[0]
        await first.ack()
        assert queue.counters.stale_settles == 1
        await inbox.got[1].ack()
        assert queue.counters.subscriptions_lost == 1


async def test_a_deleted_queue_is_declared_and_consumed_again(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        await queue.publish(make_envelope())
        await (await inbox.count(1))[0].ack()
        async with outside(amqp_url) as channel:
            await channel.queue_delete(
                Topology(queue.namespace).work_queue("m", Priority.NORMAL).name
            )
        await queue.publish(make_envelope())
        await inbox.count(2)
        await inbox.ack_all()


async def test_a_deaf_consumer_is_noticed(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 2, inbox)
        await queue.publish(make_envelope())
        await (await inbox.count(1))[0].ack()
        work = Topology(queue.namespace).work_queue("m", Priority.NORMAL)
        async with outside(amqp_url) as channel:
            # Declared again this soon, RabbitMQ keeps the consumer but delivers nothing to it.
            await channel.queue_delete(work.name)
            await channel.queue_declare(work.name, durable=True, arguments=dict(work.arguments))
            await channel.queue_bind(work.name, work.exchange, work.routing_key)
        for _ in range(3):
            await queue.publish(make_envelope())
        took = await eventually(lambda: _true(len(inbox.got) > 1), timeout_s=20)
        assert took < 16
        assert "none is delivered" in queue._consumers[0].last_trouble
        await inbox.until(lambda: len(set(inbox.ids)) >= 2)
        await inbox.ack_all()


async def test_a_receiver_that_raises_gets_the_message_again(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        inbox = Inbox()
        calls = 0

        def sometimes(delivery: Delivery) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise ValueError("on purpose")
            inbox(delivery)

        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, sometimes)
        await queue.publish(make_envelope())
        await inbox.count(1)
        await inbox.ack_all()


async def test_a_retry_tier_returns_to_the_right_queue(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        high, low = Inbox(), Inbox()
        await queue.consume("m", Priority.HIGH, Lane.OPEN, 1, high)
        await queue.consume("m", Priority.LOW, Lane.OPEN, 1, low)
        assert await queue.tiers_empty()
        loop = asyncio.get_running_loop()
        began = loop.time()
        parked = make_envelope(priority=Priority.LOW, generation=1)
        await queue.publish_later(parked, 2.0)
        assert not await queue.tiers_empty()
        (delivery,) = await low.count(1)
        assert 0.9 < loop.time() - began < 2.5
        assert delivery.envelope == parked
        assert not high.got
        assert await queue.tiers_empty()
        await low.ack_all()


async def test_a_message_can_go_round_a_tier_again_and_again(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        await queue.publish_later(make_envelope(), 0)
        for generation in range(1, 4):
            delivery = (await inbox.count(generation))[-1]
            await queue.publish_later(delivery.envelope.next_generation(0), 0)
            await delivery.ack()
        last = (await inbox.count(4))[-1]
        assert last.envelope.generation == 3
        await last.ack()


async def test_depth_counts_what_waits(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        for _ in range(3):
            await queue.publish(make_envelope())
        assert await queue.depth("m", Priority.NORMAL) == 3
        assert await queue.depth("never declared", Priority.NORMAL) == 0
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 2, inbox)
        await inbox.count(2)

        async def one_left() -> bool:
            return await queue.depth("m", Priority.NORMAL) == 1

        await eventually(one_left)


def _subscription(queue: AmqpQueue) -> Subscription:
    """The first consumer's subscription of the moment."""
    subscription = queue._consumers[0]._subscription
    assert subscription is not None
    return subscription


async def _true(holds: bool) -> bool:
    return holds
