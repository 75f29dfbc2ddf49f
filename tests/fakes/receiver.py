"""A receiver of webhooks on loopback that verifies, counts, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

T = TypeVar("T")


@dataclass
class Got:
    """One post that arrived: its path, headers in lower case, and exact body.

    `taken` tells that it was answered 2xx, `came_at` (Unix seconds) when it arrived.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    came_at: float = field(default_factory=time.time)
    taken: bool = True

    @property
    def id(self) -> str:
        """Its `webhook-id`."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Takes what is posted to any path; `/status/N` answers N, `/silent` never, `/flaky/P` fails.

    P is the percentage of the posts that are answered 500. `/gone` answers 410.
    """

    port: int = 0
    tls: ssl.SSLContext | None = None
    got: list[Got] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Its root."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def wait_for(self, count: int, within_s: float = 20.0) -> list[Got]:
        """Return what has come as soon as it is so much. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while len(self.got) < count:
                self._came.clear()
                await self._came.wait()
        return self.got

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        got = Got(request.path, headers, body)
        self.got.append(got)
        self._came.set()
        kind, _, detail = request.path.strip("/").partition("/")
        if kind == "silent":
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    await self._closing.wait()
        if kind == "gone":
            got.taken = False
            return web.Response(status=410)
        if kind == "status":
            got.taken = False
            return web.Response(status=int(detail), text="said so", headers=self.headers)
        if kind == "flaky" and random.randrange(100) < int(detail):
            got.taken = False
            return web.Response(status=500)
        return web.Response(text="taken")


@contextmanager
def receiving(**settings: Any) -> Iterator[Receiver]:
    """Run a receiver in a thread of its own, for tests that are not asynchronous."""
    receiver = Receiver(**settings)
    ready, over = threading.Event(), threading.Event()

    async def run() -> None:
        async with receiver:
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield receiver
    finally:
        over.set()
        thread.join(20)


def soon(seen: Callable[[], T | None], within_s: float = 20.0) -> T:
    """Return what `seen` finds, as soon as it finds something."""
    until = time.monotonic() + within_s
    while not (found := seen()):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.02)
    return found
