"""uvicorn as Penstock runs it: our order of the end, and an eye on every connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from socket import socket

import uvicorn

from api.app import Api
from api.wire import Limits, bounded, look_at

_CLOSE_CONNECTIONS_S = 5
_TLS_GOODBYE_S = 2.0
# uvicorn ticks ten times a second.
_TICKS_PER_LOOK = 10


class HttpServer(uvicorn.Server):
    """The HTTP server of one api, within `limits`."""

    def __init__(self, api: Api, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self._limits = limits
        super().__init__(
            uvicorn.Config(
                api.app,
                http=bounded(limits),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
                timeout_graceful_shutdown=_CLOSE_CONNECTIONS_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the order of the end is ours."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin to accept; uvicorn's own leaves a silent TLS handshake a whole minute."""
        await self.lifespan.startup()
        tls = self.config.ssl
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=listener,
                backlog=self.config.backlog,
                ssl=tls,
                ssl_handshake_timeout=self._limits.header_timeout_s if tls else None,
                ssl_shutdown_timeout=_TLS_GOODBYE_S if tls else None,
            )
            for listener in sockets or ()
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections from time to time."""
        if counter % _TICKS_PER_LOOK == 0:
            look_at(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _connection(self) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class
        return protocol(  # type: ignore[call-arg]  # typed as any protocol; it is Wire
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
