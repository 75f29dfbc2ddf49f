"""A backend that streams tokens at a steady pace, each with the instant at which it was sent.

    python -m benchmarks.token_backend --port 9000

Model `tokens-50-20` streams 50 of them, 20 ms apart, the first at once.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import cast

import orjson

from benchmarks.raw_http import Messages, ok
from benchmarks.serving import serve

_MODEL = re.compile(rb'"model": ?"tokens-(\d+)-(\d+)"')
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LIST = ok(orjson.dumps({"object": "list", "data": []}))


class TokenBackend(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._transport: asyncio.Transport | None = None
        self._streaming: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class, which is no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        for task in self._streaming:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        for _, body in self._messages.feed(data):
            asked = _MODEL.search(body)
            if asked is None:
                self._write(_LIST)
            else:
                task = asyncio.create_task(self._stream(int(asked[1]), int(asked[2]) / 1000))
                self._streaming.add(task)
                task.add_done_callback(self._streaming.discard)

    async def _stream(self, tokens: int, pause_s: float) -> None:
        self._write(_HEAD)
        due = time.monotonic()
        for number in range(tokens):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._write(_chunked(b"data: " + _token(number)))
            due += pause_s
        self._write(_chunked(b"data: [DONE]") + b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _token(number: int) -> bytes:
    return orjson.dumps(
        {
            "id": "chatcmpl-benchmark",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "benchmark",
            "sent_at": time.time(),
            "choices": [{"index": 0, "delta": {"content": f"w{number} "}, "finish_reason": None}],
        }
    )


def _chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event)


if __name__ == "__main__":
    serve(TokenBackend, __doc__)
