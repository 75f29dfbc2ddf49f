"""The sockets below aiormq, kept within reach so that a dead peer can be dropped at once."""

from __future__ import annotations

import asyncio
from typing import Any

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL


class Sockets(TransportFactory):
    """Opens aiormq's socket and can cut it.

    A polite close waits until unsent bytes are read, which a frozen server never does.
    """

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the socket for `url` as aiormq would."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **kwargs)
        return reader, self._writer

    def abort(self) -> None:
        """Cut the socket if there is one."""
        if self._writer is not None:
            self._writer.transport.abort()
