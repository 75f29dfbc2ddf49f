"""The fast fake backend: one fixed chat completion, at once or after the time the model names.

    python -m benchmarks.backend --port 9000

Model `wait-50` answers after 50 ms. A bare protocol, because a web framework would cost more than
what is measured.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

import orjson

from benchmarks.raw_http import Messages, ok
from benchmarks.serving import serve

_WAIT = re.compile(rb'"model": ?"wait-(\d+)"')
_ANSWER = ok(
    orjson.dumps(
        {
            "id": "chatcmpl-benchmark",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "benchmark",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "y" * 200},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 250, "completion_tokens": 50, "total_tokens": 300},
        }
    )
)


class Backend(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class, which is no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for _, body in self._messages.feed(data):
            wait = _WAIT.search(body)
            wait_ms = int(wait[1]) if wait else 0
            if wait_ms:
                asyncio.get_running_loop().call_later(wait_ms / 1000, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_ANSWER)


if __name__ == "__main__":
    serve(Backend, __doc__)
