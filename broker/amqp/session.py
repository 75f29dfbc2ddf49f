"""One live AMQP connection, used until it is judged dead and never repaired.

aio-pika's robust connection forgets prefetch values and hides losses, so the plain one is used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed
from aiormq.abc import AbstractChannel, AbstractConnection
from yarl import URL

from broker.amqp.hot_channel import HotChannel
from broker.amqp.sockets import Sockets
from broker.lifecycle import cancelled_from_outside
from schemas.errors import EngineError, QueueUnavailable

CONNECT_LIMIT_S = 5.0
RPC_LIMIT_S = 5.0
PROBE_EVERY_S = 3.0
CLOSE_LIMIT_S = 2.0

# Each of its complaints also reaches us as an exception, and we say it once instead of each try.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


@contextmanager
def translated(what: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn whatever the client library raises, except `but`, into QueueUnavailable."""
    try:
        yield
    except but:
        raise
    except asyncio.CancelledError as error:
        if cancelled_from_outside():
            raise
        raise QueueUnavailable(f"{what}: the connection was lost") from error
    except CONNECTION_EXCEPTIONS as error:
        raise QueueUnavailable(f"{what}: {str(error) or type(error).__name__}") from error


class _Connection(aio_pika.Connection):
    """aio-pika's plain connection over sockets that we can abort."""

    def __init__(self, url: URL, **kwargs: Any) -> None:
        super().__init__(url, **kwargs)
        self.sockets = Sockets()
        self.kwargs["transport_factory"] = self.sockets


class Session:
    """One live connection. `lost` is done once it is judged dead."""

    def __init__(self, connection: _Connection, transport: AbstractConnection) -> None:
        self._connection = connection
        self._transport = transport
        self._probe: AbstractChannel | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.since = time.monotonic()

    @classmethod
    async def open(cls, url: URL) -> Session:
        """Connect within CONNECT_LIMIT_S. Raises QueueUnavailable."""
        connection = _Connection(url)
        try:
            with translated("RabbitMQ is not reachable"):
                await connection.connect(timeout=CONNECT_LIMIT_S)
            assert connection.transport is not None  # noqa: S101  because connect() set it
            return cls(connection, connection.transport.connection)
        except BaseException:
            connection.sockets.abort()
            await connection.close()
            raise

    @property
    def version(self) -> str:
        """The server's version as it says itself."""
        version = self._transport.server_properties.get("version", "unknown")
        return version.decode() if isinstance(version, bytes) else str(version)

    @property
    def closed(self) -> bool:
        """Whether RabbitMQ or we have closed it."""
        return self._transport.is_closed

    async def open_channel(self, *, confirms: bool = False) -> AbstractChannel:
        """Open a channel; with `confirms` it is one to publish on."""
        with translated("RabbitMQ opened no channel"):
            async with asyncio.timeout(RPC_LIMIT_S):
                return await self._transport.channel(
                    publisher_confirms=confirms, on_return_raises=confirms
                )

    async def open_hot(self, *, confirms: bool = False) -> tuple[AbstractChannel, HotChannel]:
        """Open a channel and claim its messages; with `confirms` it is one to publish on."""
        channel = await self.open_channel(confirms=confirms)
        frame_max = self._transport.connection_tune.frame_max or 0
        return channel, self._connection.sockets.tap.claim(channel.number, frame_max)

    async def blocked(self) -> bool:
        """Tell whether RabbitMQ has stopped reading from this connection (an alarm)."""
        try:
            async with asyncio.timeout(0.05):
                await self._transport.ready()
        except TimeoutError:
            return True
        return False

    async def watch(self) -> str:
        """Return why the connection ended, by its own word or because a probe got no answer."""
        closing = self._transport.closing
        while True:
            await asyncio.wait({closing}, timeout=PROBE_EVERY_S)
            if closing.done():
                error = None if closing.cancelled() else closing.exception()
                return f"the connection was closed ({error})"
            if await self.blocked():
                continue
            try:
                await self._ask()
            except EngineError as error:
                return str(error)

    async def close(self) -> None:
        """Close politely, within CLOSE_LIMIT_S, else cut the socket. Safe to call twice."""
        if not self.lost.done():
            self.lost.set_result(None)
        with suppress(*CONNECTION_EXCEPTIONS):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._connection.close()
        self._connection.sockets.abort()

    async def _ask(self) -> None:
        """Make one round trip. A time-out closes the channel, so the probe has its own."""
        if self._probe is None:
            self._probe = await self.open_channel()
        with translated("RabbitMQ does not answer"):
            await self._probe.exchange_declare("amq.topic", passive=True, timeout=RPC_LIMIT_S)


async def close_channel(channel: AbstractChannel) -> None:
    """Close `channel`, whatever state it is in."""
    with suppress(*CONNECTION_EXCEPTIONS):
        async with asyncio.timeout(RPC_LIMIT_S):
            await channel.close(ChannelClosed(0, "closed by Penstock"))
