"""Publishing to a real RabbitMQ: declared, confirmed, mandatory, never cut short."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from broker.topology import Topology
from schemas.errors import QueueUnavailable, TopologyDrift
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.integration.amqp import eventually, outside, remove, running

pytestmark = pytest.mark.realservers


async def test_the_first_publish_declares_its_queue_and_is_confirmed(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        assert await queue.depth("m", Priority.NORMAL) == 0
        await queue.publish(make_envelope())
        assert await queue.depth("m", Priority.NORMAL) == 1
        assert queue.counters.returned == 1
        await queue.publish(make_envelope())
        assert queue.counters.returned == 1
        assert await queue.health() is None


async def test_many_first_publishes_at_once_declare_once_and_all_land(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        sent = [make_envelope() for _ in range(100)]
        await asyncio.gather(*(queue.publish(envelope) for envelope in sent))
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 200, inbox)
        await inbox.count(100)
        assert sorted(inbox.ids) == sorted(envelope.id for envelope in sent)
        await inbox.ack_all()


async def test_an_envelope_arrives_as_it_was_sent(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        sent = make_envelope(body=b"x" * 5_000_000, metadata={"a": "b"}, generation=3)
        await queue.publish(sent)
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        (delivery,) = await inbox.count(1)
        assert delivery.envelope == sent
        await delivery.ack()


async def test_declaring_twice_is_harmless(amqp_url: str) -> None:
    async with running(amqp_url, "twice") as first, running(amqp_url, "twice") as second:
        await first.publish(make_envelope())
        await second.publish(make_envelope())
        assert await first.depth("m", Priority.NORMAL) == 2
    await remove(amqp_url, "twice")


async def test_a_queue_with_other_arguments_is_drift_with_the_way_out(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        name = Topology(queue.namespace).work_queue("m", Priority.NORMAL).name
        async with outside(amqp_url) as channel:
            await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        with pytest.raises(TopologyDrift) as caught:
            await queue.publish(make_envelope())
        assert name in str(caught.value)
        assert "`x-dead-letter-exchange`" in str(caught.value)
        assert "Drain and delete it, or give Penstock another namespace." in str(caught.value)
        await queue.publish(make_envelope(priority=Priority.HIGH))


async def test_a_drifted_tier_is_told_by_health_and_mended_by_deleting_it(amqp_url: str) -> None:
    async with outside(amqp_url) as channel:
        tier = "drifted.retry.1s"
        await channel.queue_declare(tier, durable=True, arguments={"x-queue-type": "quorum"})
        async with running(amqp_url, "drifted") as queue:

            async def told() -> bool:
                return tier in (await queue.health() or "")

            await eventually(told)
            await channel.queue_delete(tier)
            await eventually(lambda: _well(queue))
            await queue.publish(make_envelope())
    await remove(amqp_url, "drifted")


async def test_a_deleted_exchange_comes_back_with_the_next_publish(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        await queue.publish(make_envelope())
        async with outside(amqp_url) as channel:
            await channel.exchange_delete(f"{queue.namespace}.work")
        await queue.publish(make_envelope())
        assert await queue.depth("m", Priority.NORMAL) == 2


async def test_a_deleted_queue_comes_back_with_the_next_publish(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        await queue.publish(make_envelope())
        name = Topology(queue.namespace).work_queue("m", Priority.NORMAL).name
        async with outside(amqp_url) as channel:
            await channel.queue_delete(name)
        await queue.publish(make_envelope())
        assert await queue.depth("m", Priority.NORMAL) == 1


@pytest.mark.parametrize("after_s", [0.0, 0.0005, 0.002, 0.01])
async def test_a_cancelled_publish_lands_and_leaves_the_channel_usable(
    amqp_url: str, after_s: float
) -> None:
    async with running(amqp_url) as queue:
        await queue.publish(make_envelope())
        channel = queue._publisher._shared
        for _ in range(10):
            publish = asyncio.create_task(queue.publish(make_envelope()))
            await asyncio.sleep(after_s)
            publish.cancel()
            with suppress(asyncio.CancelledError):
                await publish
        await queue.publish(make_envelope())
        assert queue._publisher._shared is channel

        async def all_there() -> bool:
            return await queue.depth("m", Priority.NORMAL) == 12

        await eventually(all_there)


async def test_too_large_a_message_is_refused_before_it_costs_the_channel(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        with pytest.raises(QueueUnavailable, match="more than RabbitMQ takes"):
            await queue.publish(make_envelope(body=b"x" * (16 * 1024 * 1024)))


async def test_after_stop_a_publish_is_refused_at_once(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        await queue.publish(make_envelope())
        await queue.stop()
        with pytest.raises(QueueUnavailable, match="stopped"):
            await queue.publish(make_envelope())
        await queue.stop()


async def _well(queue: object) -> bool:
    return await queue.health() is None  # type: ignore[attr-defined]  # because the port has no health
