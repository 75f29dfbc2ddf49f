"""The event logs in memory: a reader finds a gap where an earlier life of the process wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from broker.ports.events import KEPT_S, LOST_GAP, Chunk, Follower

_MOST_BYTES = 1024 * 1024
# What logs of ended requests take together; beyond it the oldest go, and the results tell the same.
_MOST_SEALED_BYTES = 64 * 1024 * 1024
# Of a chunk beside its data: the object, its number and its place in the list.
_CHUNK_BYTES = 150


@dataclass(slots=True)
class _Log:
    attempt: int
    first: int
    dropped_at: float
    chunks: list[Chunk] = field(default_factory=list)
    size: int = 0

    @property
    def next(self) -> int:
        return self.first + len(self.chunks)


class EmbeddedEvents:
    """Fills `Events` for one process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Of requests that have not ended, and of those that have, in the order of their end.
        self._open: dict[str, _Log] = {}
        self._sealed: dict[str, _Log] = {}
        self._sealed_bytes = 0
        self._news: dict[str, list[asyncio.Event]] = {}

    async def begin(
        self, request_id: str, attempt: int, *, restart: bool, deadline: float
    ) -> int | None:
        """Let `attempt` write; see the port."""
        self._drop_abandoned()
        log, dropped_at = self._find(request_id), deadline + KEPT_S
        if log is None:
            lost = attempt > 1
            log = _Log(attempt, (attempt - 1) * LOST_GAP, dropped_at)
            self._open[request_id] = log
            if lost and restart:
                self._add(request_id, log, [b""])
            return log.next
        if attempt < log.attempt:
            return None
        if log.chunks and (log.chunks[-1].attempt, log.chunks[-1].data) != (attempt, b""):
            if not restart:
                return None
            log.attempt = attempt
            self._add(request_id, log, [b""])
        log.attempt, log.dropped_at = attempt, dropped_at
        return log.next

    async def append(
        self, request_id: str, attempt: int, number: int, data: Sequence[bytes]
    ) -> bool:
        """Add events; see the port."""
        log = self._find(request_id)
        if log is None or log.attempt != attempt:
            return False
        self._add(request_id, log, data[max(0, log.next - number) :])
        return True

    async def seal(self, request_id: str) -> None:
        """Keep the log a while longer."""
        if (log := self._open.pop(request_id, None)) is not None:
            log.dropped_at = min(log.dropped_at, self._clock() + KEPT_S)
            self._sealed[request_id] = log
            self._sealed_bytes += log.size
            self._drop_sealed()

    async def read(self, request_id: str, after: int) -> Sequence[Chunk]:
        """Return what follows `after`."""
        self._drop_sealed()
        log = self._find(request_id)
        if log is None or log.dropped_at <= self._clock():
            return []
        size, found = 0, []
        for chunk in log.chunks[max(0, after + 1 - log.first) :]:
            found.append(chunk)
            size += len(chunk.data)
            if size >= _MOST_BYTES:
                break
        return found

    @asynccontextmanager
    async def follow(self, request_id: str) -> AsyncIterator[Follower]:
        """Follow a log while the block lasts."""
        news = asyncio.Event()
        self._news.setdefault(request_id, []).append(news)
        try:
            yield _Follower(self, request_id, news)
        finally:
            followers = self._news[request_id]
            followers.remove(news)
            if not followers:
                del self._news[request_id]

    def _find(self, request_id: str) -> _Log | None:
        return self._open.get(request_id) or self._sealed.get(request_id)

    def _add(self, request_id: str, log: _Log, data: Sequence[bytes]) -> None:
        log.chunks += (
            Chunk(number, log.attempt, each) for number, each in enumerate(data, start=log.next)
        )
        size = sum(_CHUNK_BYTES + len(each) for each in data)
        log.size += size
        if request_id in self._sealed:
            self._sealed_bytes += size
        for news in self._news.get(request_id, ()):
            news.set()

    def _drop_abandoned(self) -> None:
        """Drop what nobody sealed in time; open logs are few, for only what runs writes one."""
        now = self._clock()
        for request_id in [each for each, log in self._open.items() if log.dropped_at <= now]:
            del self._open[request_id]

    def _drop_sealed(self) -> None:
        """Drop what is over, and the oldest of what takes too much memory."""
        now = self._clock()
        while self._sealed:
            request_id, log = next(iter(self._sealed.items()))
            if log.dropped_at > now and self._sealed_bytes <= _MOST_SEALED_BYTES:
                break
            del self._sealed[request_id]
            self._sealed_bytes -= log.size


class _Follower:
    def __init__(self, events: EmbeddedEvents, request_id: str, news: asyncio.Event) -> None:
        self._events = events
        self._request_id = request_id
        self._news = news

    async def after(self, number: int, timeout_s: float) -> Sequence[Chunk]:
        """Return what follows `number`, as soon as there is something."""
        self._news.clear()
        found = await self._events.read(self._request_id, number)
        if found:
            return found
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return []
        return await self._events.read(self._request_id, number)
