"""HTTP/1.1 over keep-alive connections by bare asyncio protocols: as little CPU as Python needs.

Only what the benchmark's own peers send: a Content-Length in every message, one call at a time.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes


class Messages:
    """Cuts a stream of bytes into whole HTTP messages."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return the head and the body of every message that `data` completes."""
        self._pending += data
        found: list[tuple[bytes, bytes]] = []
        while (head_end := self._pending.find(_END)) >= 0:
            head, start = self._pending[:head_end], head_end + len(_END)
            length = _LENGTH.search(head)
            end = start + (int(length[1]) if length else 0)
            if len(self._pending) < end:
                break
            found.append((head, self._pending[start:end]))
            self._pending = self._pending[end:]
        return found


class Connection(asyncio.Protocol):
    """A client's connection: `await Connection.open(…)`, then `await call(post(…))`."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def call(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request and return its answer; fails with ConnectionError when the peer closes."""
        assert self._transport is not None
        assert self._waiting is None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    async def close(self) -> None:
        """Close the connection and wait until it is."""
        assert self._transport is not None
        self._transport.close()
        await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class, which is no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for head, body in self._messages.feed(data):
            waiting, self._waiting = self._waiting, None
            if waiting is not None and not waiting.done():
                waiting.set_result(Answer(int(head[9:12]), body))

    def connection_lost(self, _error: Exception | None) -> None:
        self._closed.set()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError("the peer closed the connection"))


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a POST with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def get(path: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def ok(body: bytes) -> bytes:
    """Return the bytes of a 200 answer with a JSON body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body
