"""What the events of a streamed answer mean, wherever they are read; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.errors import RequestFailed, StreamInterrupted
from penstock.shapes import Request, text_of

DONE = "[DONE]"
RESTARTED = "request.restarted"
BROKE_OFF = "the server closed the stream before its request had ended"
# A request's last event holds its whole answer.
MAX_EVENT_BYTES = 16 * 1024 * 1024
# The server says something at least every ten seconds.
SILENCE_S = 30.0


class ServerEvent(Protocol):
    """A server-sent event; `id` is that of the last one that had one."""

    @property
    def event(self) -> str:
        """Its name; `message` if it has none."""

    @property
    def data(self) -> str:
        """Its lines."""

    @property
    def id(self) -> str:
        """Its number."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a streamed answer, as the backend sent it, and its number.

    One that is `restarted` says that the answer begins anew: what came before it is void.

    >>> import penstock
    >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
    >>> with penstock.Client() as client, client.stream(body) as stream:
    ...     numbers = [chunk.number for chunk in stream]
    >>> numbers == sorted(set(numbers))
    True
    """

    number: int
    data: Mapping[str, Any]
    restarted: bool = False

    @property
    def text(self) -> str:
        """The text that it adds to the first choice; empty where there is none."""
        return text_of(self.data, "delta")


class Course:
    """How far one stream was read: what came last, and what is known of its request."""

    def __init__(self, request: Request, after: int) -> None:
        self.request = request
        self.after = after
        self.over = False

    def take(self, event: ServerEvent) -> Chunk | None:
        """Return the chunk in an event, if it is one and new.

        Raises RequestFailed and StreamInterrupted for a stream that ends before its answer does.
        """
        if event.event == "message":
            return self._chunk(event)
        if event.event == RESTARTED:
            return self._new(Chunk(int(event.id), {}, restarted=True))
        if event.event == "error":
            told = json.loads(event.data)["error"]
            raise StreamInterrupted(self.request, told["message"])
        if event.event.startswith("request."):
            self._learn(Request.of(json.loads(event.data)))
        return None

    def _chunk(self, event: ServerEvent) -> Chunk | None:
        if event.data == DONE:
            self.after = max(self.after, int(event.id))
            return None
        return self._new(Chunk(int(event.id), json.loads(event.data)))

    def _new(self, chunk: Chunk) -> Chunk | None:
        if chunk.number <= self.after:
            return None
        self.after = chunk.number
        return chunk

    def _learn(self, request: Request) -> None:
        self.request = request
        if not request.ended:
            return
        self.over = True
        if request.error is not None and request.error.code == "stream_interrupted":
            raise StreamInterrupted(request, request.error.message)
        if request.status != "completed":
            raise RequestFailed(request)


def joined(text: str, chunk: Chunk) -> str:
    """Return the whole text after `chunk`."""
    return "" if chunk.restarted else text + chunk.text
