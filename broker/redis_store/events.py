"""The Events port: a list of chunks for each streamed request, and who listens to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from broker.ports.events import KEPT_S, LOST_GAP, Chunk, Follower
from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.listening import Listening
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits

_MOST_BYTES = 1024 * 1024
# News of a chunk can be lost; this bounds what that costs.
_LOOK_AGAIN_S = 2.0
_LISTENS_S = 30.0


class RedisEvents:
    """The event logs in Redis."""

    def __init__(self, batcher: Batcher, keys: Keys, owner: str, waits: Waits) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._waits = waits

    async def begin(
        self, request_id: str, attempt: int, *, restart: bool, deadline: float
    ) -> int | None:
        kept_ms = int((max(0.0, deadline - time.time()) + KEPT_S) * 1000)
        anew = "1" if restart else ""
        args = (attempt, anew, kept_ms, self._keys.wake, LOST_GAP)
        number = await self._run("log_begin", request_id, *args)
        return None if number is None else int(number)

    async def append(
        self, request_id: str, attempt: int, number: int, data: Sequence[bytes]
    ) -> bool:
        args = (attempt, number, self._keys.wake, *data)
        return bool(await self._run("log_append", request_id, *args))

    async def seal(self, request_id: str) -> None:
        tag, kept_ms = self._keys.tag(request_id), int(KEPT_S * 1000)
        log, chunks, _ = self._keys.of_log(request_id)
        dropped = self._batcher.submit(tag, "PEXPIRE", log, kept_ms)
        await self._batcher.submit(tag, "PEXPIRE", chunks, kept_ms)
        await dropped

    async def read(self, request_id: str, after: int) -> Sequence[Chunk]:
        return await self._read(request_id, after, "")

    @asynccontextmanager
    async def follow(self, request_id: str) -> AsyncIterator[Follower]:
        with self._waits.chunks.listen(request_id) as listener:
            try:
                yield _Follower(self, request_id, listener)
            finally:
                if not self._waits.chunks.others(request_id, listener):
                    self._stop_listening(request_id)

    async def listen(self, request_id: str, after: int) -> Sequence[Chunk]:
        """Return what follows, and let this process be told of what comes."""
        return await self._read(request_id, after, self._owner)

    def _stop_listening(self, request_id: str) -> None:
        readers = self._keys.of_log(request_id)[2]
        gone = self._batcher.submit(self._keys.tag(request_id), "ZREM", readers, self._owner)
        # Where that fails, being told ends by itself; nobody waits for it.
        gone.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _read(self, request_id: str, after: int, owner: str) -> Sequence[Chunk]:
        args = (after, _MOST_BYTES, owner, int(_LISTENS_S * 1000))
        answer = await self._run("log_read", request_id, *args)
        if not answer:
            return []
        first, *chunks = answer
        return [_chunk(number, chunk) for number, chunk in enumerate(chunks, start=int(first))]

    async def _run(self, name: str, request_id: str, *args: Any) -> Any:
        command = script(name, self._keys.of_log(request_id), request_id, *args)
        return await self._batcher.submit(self._keys.tag(request_id), *command)


class _Follower:
    """Told of chunks as they come; it reads the log itself where it was not, or not of all."""

    def __init__(self, events: RedisEvents, request_id: str, heard: Listening) -> None:
        self._events = events
        self._request_id = request_id
        self._heard = heard
        self._looks_at = 0.0

    async def after(self, number: int, timeout_s: float) -> Sequence[Chunk]:
        until = time.monotonic() + timeout_s
        while True:
            if chunks := self._heard.take(number):
                return chunks
            now = time.monotonic()
            if self._heard.missed or now >= self._looks_at:
                self._heard.missed = False
                self._looks_at = now + _LOOK_AGAIN_S
                if found := await self._events.listen(self._request_id, number):
                    # There may be more than one answer holds.
                    self._heard.missed = True
                    return found
                continue
            if now >= until:
                return []
            await self._heard.news(min(until, self._looks_at) - now)


def _chunk(number: int, entry: bytes) -> Chunk:
    attempt, _, data = entry.partition(b":")
    return Chunk(number, int(attempt), data)
