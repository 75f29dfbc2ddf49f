"""What RabbitMQ sets aside: foreign messages, and how they are filed."""

from __future__ import annotations

import asyncio

import pytest
from aiormq import spec

from broker.ports import DeadLetter
from broker.topology import Topology
from schemas.codec import encode
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.integration.amqp import eventually, outside, running

pytestmark = pytest.mark.realservers


async def test_foreign_bytes_become_a_dead_letter_and_disturb_nobody(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        inbox, letters = Inbox(), list[DeadLetter]()

        async def receive(letter: DeadLetter) -> None:
            letters.append(letter)

        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        await queue.consume_dead(receive)
        await queue.publish(make_envelope())
        (held,) = await inbox.count(1)
        work = Topology(queue.namespace).work_queue("m", Priority.NORMAL)
        async with outside(amqp_url) as channel:
            await channel.basic_publish(b"not ours", exchange="", routing_key=work.name)
        await queue.publish(make_envelope())
        await held.ack()
        await inbox.count(2)
        await inbox.ack_all()
        await eventually(lambda: _true(len(letters) == 1))
        assert letters == [DeadLetter(None, f"rejected from {work.name}", b"not ours")]
        assert queue.counters.foreign == 1
        assert queue.counters.subscriptions_lost == 0

        async def filed() -> bool:
            return await queue._gauge.ready(f"{queue.namespace}.dead") == 0

        await eventually(filed)


async def test_a_letter_is_offered_until_it_is_filed(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        offered = list[DeadLetter]()

        async def receive(letter: DeadLetter) -> None:
            offered.append(letter)
            if len(offered) == 1:
                raise OSError("the store is away")

        await queue.consume_dead(receive)
        known = make_envelope()
        async with outside(amqp_url) as channel:
            await eventually(lambda: _true(queue._consumers[0]._subscription is not None))
            await channel.basic_publish(
                encode(known),
                exchange=f"{queue.namespace}.dead",
                properties=spec.Basic.Properties(delivery_mode=2),
            )
        await eventually(lambda: _true(len(offered) == 2))
        assert offered[0] == offered[1]
        assert offered[0].envelope == known
        assert offered[0].reason == "sent to the dead-letter exchange"


async def test_letters_wait_for_a_consumer(amqp_url: str) -> None:
    async with running(amqp_url) as queue:
        inbox = Inbox()
        await queue.consume("m", Priority.NORMAL, Lane.OPEN, 1, inbox)
        await queue.publish(make_envelope())
        await (await inbox.count(1))[0].ack()
        name = Topology(queue.namespace).work_queue("m", Priority.NORMAL).name
        async with outside(amqp_url) as channel:
            for number in range(50):
                await channel.basic_publish(b"%d" % number, exchange="", routing_key=name)

        async def all_set_aside() -> bool:
            return await queue._gauge.ready(f"{queue.namespace}.dead") == 50

        await eventually(all_set_aside)
        bodies = set[bytes]()

        async def receive(letter: DeadLetter) -> None:
            await asyncio.sleep(0)
            bodies.add(letter.body)

        await queue.consume_dead(receive)
        await eventually(lambda: _true(len(bodies) == 50))


async def _true(holds: bool) -> bool:
    return holds
