"""The sockets below aiormq: tapped, and kept within reach so that a dead peer can be dropped."""

from __future__ import annotations

import asyncio
from typing import Any

from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from broker.amqp.tap import Tap


class Sockets(TransportFactory):
    """Opens aiormq's socket with a tap on it, and can cut it.

    A polite close waits until unsent bytes are read, which a frozen server never does.
    """

    def __init__(self) -> None:
        self._tap: Tap | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def tap(self) -> Tap:
        """The tap on the open socket."""
        assert self._tap is not None  # noqa: S101  because only a connected session asks
        return self._tap

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the socket for `url` as aiormq would."""
        provider = kwargs.pop("ssl_context_provider")
        secure = await provider.get_context() if url.scheme == "amqps" else None
        reader = asyncio.StreamReader()
        tap = Tap(reader)
        loop = asyncio.get_running_loop()
        place: dict[str, Any] = {"host": url.host, "port": url.port, "ssl": secure}
        try:
            transport, _ = await loop.create_connection(lambda: tap, **place, **kwargs)
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        self._tap = tap
        self._writer = _Writer(transport, tap, reader, loop)
        return reader, self._writer

    def abort(self) -> None:
        """Cut the socket if there is one."""
        if self._writer is not None:
            self._writer.transport.abort()


class _Writer(asyncio.StreamWriter):
    """aiormq's way out, which the tap watches."""

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        tap: Tap,
        reader: asyncio.StreamReader,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(transport, tap, reader, loop)
        self._tap = tap

    def write(self, data: Any) -> None:
        """Write after what the hot channels wrote before."""
        self._tap.outgoing(data)
        super().write(data)
