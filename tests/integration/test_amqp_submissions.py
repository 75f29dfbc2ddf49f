"""What clients publish comes to the door with all that they gave it, whatever its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp.commands import Basic

from broker.amqp.adapter import AmqpQueue
from broker.ports import Submission
from broker.topology import Topology
from tests.integration.amqp import eventually, healthy, outside, running

pytestmark = pytest.mark.realservers


class Door:
    """A consumer of the intake, and a client beside it."""

    def __init__(self, queue: AmqpQueue, client: AbstractChannel) -> None:
        self.queue = queue
        self.topology = Topology(queue.namespace)
        self._client = client
        self.came: asyncio.Queue[Submission] = asyncio.Queue()

    async def publish(self, key: str, body: bytes = b"{}", **properties: object) -> None:
        await self._client.basic_publish(
            body,
            exchange=self.topology.intake.name,
            routing_key=key,
            properties=Basic.Properties(**properties),  # type: ignore[arg-type]  # because by name
        )

    async def next(self) -> Submission:
        async with asyncio.timeout(20):
            return await self.came.get()

    async def waiting(self, name: str) -> int:
        found = await self._client.queue_declare(name, passive=True)
        return found.message_count or 0


@pytest.fixture
async def door(amqp_url: str) -> AsyncIterator[Door]:
    async with running(amqp_url) as queue, outside(amqp_url) as client:
        opened = Door(queue, client)
        await queue.submissions.consume(opened.came.put_nowait)
        await healthy(queue)
        yield opened


async def test_a_submission_has_all_that_its_client_gave_it(door: Door) -> None:
    await door.publish(
        "echo.high",
        b"body",
        user_id="guest",
        reply_to="amq.gen-x",
        correlation_id="c-1",
        message_id="m-1",
        content_type="application/json",
        expiration="60000",
        message_type="request.cancel",
        headers={"x-penstock-stream": True},
    )
    got = await door.next()
    got.receipt.ack()
    assert (got.body, got.routing_key, got.redelivered) == (b"body", "echo.high", False)
    assert (got.user_id, got.reply_to, got.correlation_id) == ("guest", "amq.gen-x", "c-1")
    assert (got.message_id, got.content_type, got.expiration) == (
        "m-1",
        "application/json",
        "60000",
    )
    assert (got.kind, got.headers) == ("request.cancel", {"x-penstock-stream": True})


@pytest.mark.parametrize("key", ["echo.normal", "echo.low", "echo.batch", "nonsense", "a.b.c", ""])
async def test_whatever_the_key_it_comes(door: Door, key: str) -> None:
    await door.publish(key)
    got = await door.next()
    assert got.routing_key == key
    got.receipt.ack()


@pytest.mark.parametrize(
    ("settle", "redelivered"),
    [(lambda it: it.receipt.requeue(), True), (lambda it: it.receipt.set_aside(), None)],
)
async def test_a_submission_comes_again_or_is_dead_lettered(
    door: Door, settle: Callable[[Submission], None], redelivered: bool | None
) -> None:
    await door.publish("echo.high", b"again", message_id="m-2")
    first = await door.next()
    settle(first)
    if redelivered is None:
        await eventually(lambda: _holds_one(door))
    else:
        again = await door.next()
        assert (again.redelivered, again.digest) == (True, first.digest)
        again.receipt.ack()


async def test_other_properties_or_another_key_are_another_digest(door: Door) -> None:
    await door.publish("echo.high", b"same", correlation_id="1")
    await door.publish("echo.high", b"same", correlation_id="2")
    await door.publish("echo.low", b"same", correlation_id="2")
    got = [await door.next() for _ in range(3)]
    for each in got:
        each.receipt.ack()
    assert len({each.digest for each in got}) == 3


@pytest.mark.parametrize("key", ["echo.normal", "echo.low", "nonsense"])
async def test_the_first_message_that_can_be_published_is_not_lost(amqp_url: str, key: str) -> None:
    came: asyncio.Queue[Submission] = asyncio.Queue()
    async with running(amqp_url, new_queue_s=0.5) as queue:
        assert not await _published(amqp_url, queue, key), "there is nobody yet to take it"
        await queue.submissions.consume(came.put_nowait)
        assert await queue.health() is not None

        async def taken_over() -> bool:
            return await _published(amqp_url, queue, key)

        await eventually(taken_over, every_s=0.01)
        async with asyncio.timeout(20):
            (await came.get()).receipt.ack()


async def _published(url: str, queue: AmqpQueue, key: str) -> bool:
    """Tell whether RabbitMQ confirms a message, wherever it goes."""
    async with outside(url) as client:
        try:
            await client.basic_publish(
                b"{}", exchange=Topology(queue.namespace).intake.name, routing_key=key
            )
        except ChannelNotFoundEntity:
            return False
    return True


async def _holds_one(door: Door) -> bool:
    return await door.waiting(door.topology.dead_queue.name) == 1
