"""A client of the AMQP door, by aio-pika: it publishes to the intake and reads its replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
import msgpack
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from pamqp.commands import Basic

from tests.e2e.door import Door, chat_body

REPLY_S = 30.0


class Client:
    """One connection with a reply queue of its own."""

    def __init__(
        self, channel: AbstractChannel, intake: AbstractExchange, replies: str, namespace: str
    ) -> None:
        self.channel = channel
        self.replies = replies
        self.namespace = namespace
        self._intake = intake
        self._came: dict[str | None, asyncio.Queue[AbstractIncomingMessage]] = {}

    def take(self, message: AbstractIncomingMessage) -> None:
        """Keep one reply until it is asked for."""
        self._of(message.correlation_id).put_nowait(message)

    async def publish(self, key: str, body: bytes, **properties: Any) -> str:
        """Publish, and return the correlation id; `None` leaves a property out."""
        given = {
            "user_id": "guest",
            "reply_to": self.replies,
            "correlation_id": uuid4().hex,
            "content_type": "application/json",
            **properties,
        }
        message = aio_pika.Message(
            body, **{name: value for name, value in given.items() if value is not None}
        )
        assert isinstance(await self._intake.publish(message, key, timeout=20), Basic.Ack)
        return str(given["correlation_id"])

    async def reply(
        self, correlation_id: str, within_s: float = REPLY_S
    ) -> AbstractIncomingMessage:
        """Return the next reply with this correlation id."""
        async with asyncio.timeout(within_s):
            return await self._of(correlation_id).get()

    async def ask(self, key: str, body: bytes, **properties: Any) -> AbstractIncomingMessage:
        """Publish, and return the first reply."""
        return await self.reply(await self.publish(key, body, **properties))

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in one of Penstock's queues."""
        found = await self.channel.declare_queue(f"{self.namespace}.{queue}", passive=True)
        return found.declaration_result.message_count or 0

    def _of(self, correlation_id: str | None) -> asyncio.Queue[AbstractIncomingMessage]:
        return self._came.setdefault(correlation_id, asyncio.Queue())


@asynccontextmanager
async def client_of(door: Door) -> AsyncIterator[Client]:
    """Connect to the RabbitMQ of a door."""
    namespace = str(door.stack.setup.server["namespace"])
    connection = await aio_pika.connect(str(door.stack.setup.amqp_url), timeout=20)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        intake = await channel.get_exchange(f"{namespace}.intake", ensure=False)
        replies = await channel.declare_queue(exclusive=True)
        client = Client(channel, intake, replies.name, namespace)

        async def take(message: AbstractIncomingMessage) -> None:
            client.take(message)

        await replies.consume(take, no_ack=True)
        yield client


def submission(model: str, /, **fields: Any) -> bytes:
    """Return a small body; its model is named by the key alone."""
    inner = {name: value for name, value in chat_body(model).items() if name != "model"}
    return json.dumps({"body": inner, **fields}).encode()


def told(message: AbstractIncomingMessage) -> dict[str, Any]:
    """Return what a reply says."""
    if message.content_type == "application/msgpack":
        content: dict[str, Any] = msgpack.unpackb(message.body)
    else:
        content = json.loads(message.body)
    return content
