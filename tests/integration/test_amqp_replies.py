"""Replies: to those who are there, in order; a requester that has gone holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldValue

from broker.amqp.adapter import AmqpQueue
from broker.ports import Reply
from tests.integration.amqp import healthy, outside, running

pytestmark = pytest.mark.realservers


@pytest.fixture
async def queue(amqp_url: str) -> AsyncIterator[AmqpQueue]:
    async with running(amqp_url) as started:
        await healthy(started)
        yield started


@pytest.fixture
async def client(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    async with outside(amqp_url) as channel:
        yield channel


def reply_to(name: str, body: bytes = b"{}", kind: str = "request.completed") -> Reply:
    """Return a reply to the queue `name`."""
    return Reply(name, kind, body, "application/json", "c-1", {"x-penstock-id": "req", "n": 7})


async def test_a_reply_comes_with_all_that_it_says(
    queue: AmqpQueue, client: AbstractChannel
) -> None:
    declared = await client.queue_declare("", exclusive=True)
    name = str(declared.queue)
    assert await queue.replies.send(reply_to(name, b"body"))
    got = await client.basic_get(name, no_ack=True)
    properties = got.header.properties
    assert (got.body, properties.content_type) == (b"body", "application/json")
    assert (properties.message_type, properties.correlation_id) == ("request.completed", "c-1")
    assert properties.headers == {"x-penstock-id": "req", "n": 7}


async def test_they_keep_their_order(queue: AmqpQueue, client: AbstractChannel) -> None:
    declared = await client.queue_declare("", exclusive=True)
    name = str(declared.queue)
    bodies = [str(number).encode() for number in range(300)]
    sent = await asyncio.gather(*(queue.replies.send(reply_to(name, body)) for body in bodies))
    assert all(sent)
    assert [(await client.basic_get(name, no_ack=True)).body for _ in bodies] == bodies


@pytest.mark.parametrize(
    "name", ["amq.gen-nobody", "reply.acme.gone", "x" * 300, "amq.gen-" + "ü" * 20]
)
async def test_a_requester_that_has_gone_is_told_as_such(queue: AmqpQueue, name: str) -> None:
    assert not await queue.replies.send(reply_to(name))


async def test_a_direct_reply_comes(queue: AmqpQueue, client: AbstractChannel) -> None:
    came: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    await client.basic_consume("amq.rabbitmq.reply-to", came.put, no_ack=True)
    asking = await client.queue_declare("", exclusive=True)
    await client.basic_publish(
        b"ask",
        routing_key=str(asking.queue),
        properties=Basic.Properties(reply_to="amq.rabbitmq.reply-to"),
    )
    asked = await client.basic_get(str(asking.queue), no_ack=True)
    address = asked.header.properties.reply_to
    assert address is not None
    assert address.startswith("amq.rabbitmq.reply-to.")
    assert await queue.replies.send(reply_to(address, b"answer"))
    async with asyncio.timeout(10):
        assert (await came.get()).body == b"answer"


@pytest.mark.parametrize("address", ["", "junk", "g2dkAA==", "x" * 100, "a.b.c.d"])
async def test_a_forged_direct_address_harms_nothing(
    queue: AmqpQueue, client: AbstractChannel, address: str
) -> None:
    await queue.replies.send(reply_to(f"amq.rabbitmq.reply-to.{address}"))
    declared = await client.queue_declare("", exclusive=True)
    assert await queue.replies.send(reply_to(str(declared.queue)))


async def test_a_queue_that_refuses_is_told_as_such(
    queue: AmqpQueue, client: AbstractChannel
) -> None:
    full: dict[str, FieldValue] = {"x-max-length": 0, "x-overflow": "reject-publish"}
    declared = await client.queue_declare("", exclusive=True, arguments=full)
    assert not await queue.replies.send(reply_to(str(declared.queue)))
