"""Counts waiting messages, on a channel of its own: a failed look closes the channel."""

from __future__ import annotations

import asyncio

from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import AbstractChannel

from broker.amqp.connection import Link
from broker.amqp.session import RPC_LIMIT_S, translated
from schemas.errors import QueueUnavailable


class DepthGauge:
    """Reads how many messages of a queue are ready. Unacknowledged ones are not seen."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: AbstractChannel | None = None
        self._one_at_a_time = asyncio.Lock()

    async def ready(self, queue: str) -> int:
        """Return the count, 0 for a queue that does not exist. Raises QueueUnavailable."""
        try:
            async with asyncio.timeout(RPC_LIMIT_S), self._one_at_a_time:
                return await self._look(queue)
        except TimeoutError as error:
            raise QueueUnavailable(f"RabbitMQ did not say how long {queue} is.") from error

    async def _look(self, queue: str) -> int:
        if self._channel is None or self._channel.is_closed:
            session = await self._link.session()
            self._channel = await session.open_channel()
        with translated(f"looking at {queue}", but=(ChannelNotFoundEntity,)):
            try:
                found = await self._channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:
                self._channel = None
                return 0
            except BaseException:
                self._channel = None
                raise
        return found.message_count or 0
