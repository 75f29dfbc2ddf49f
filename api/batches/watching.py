"""Following batches: however many readers one has, this process asks the store once for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import orjson
import structlog

from api.streams.framing import comment, event
from broker.lifecycle import Cancel, Tasks
from broker.ports import Batches
from schemas.batch_wire import batch_object
from schemas.batches import Batch
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.batches")
_LOOK_S = 0.5
# Nothing is as long silent: proxies and clients take that for a dead connection.
_QUIET_S = 10.0
_NOTHING_NEW = comment("nothing new")
_LEAVING = comment("the server goes away; ask again")


class Watching:
    """The batches that somebody follows in this process."""

    def __init__(self, batches: Batches, tasks: Tasks) -> None:
        self._batches = batches
        self._tasks = tasks
        self._watched: dict[str, _Watch] = {}
        self._leaving = asyncio.Event()

    async def telling(self, batch: Batch) -> AsyncGenerator[bytes]:
        """Yield the batch as server-sent events: as it is, whenever it has changed, at its end."""
        if self._leaving.is_set():
            yield _LEAVING
            return
        watch = self._watched.get(batch.id)
        if watch is None:
            watch = self._watched[batch.id] = _Watch(batch)
            watch.stop = self._tasks.spawn("watch a batch", self._follow(watch))
        watch.readers += 1
        try:
            seen = 0
            while True:
                if watch.version > seen:
                    seen = watch.version
                    yield watch.told
                    continue  # it may have changed again while this was taken
                if watch.over:
                    return
                if self._leaving.is_set():
                    yield _LEAVING
                    return
                if not await watch.news_beyond(seen, _QUIET_S):
                    yield _NOTHING_NEW
        finally:
            self._leave(watch)

    def release(self) -> None:
        """End every telling: the process ends."""
        self._leaving.set()
        for watch in self._watched.values():
            watch.wake()

    async def _follow(self, watch: _Watch) -> None:
        while not watch.over:
            await asyncio.sleep(_LOOK_S)
            try:
                watch.take(await self._batches.get(watch.id))
            except EngineError as error:
                _log.info("how a batch stands is not known", batch=watch.id, error=str(error))

    def _leave(self, watch: _Watch) -> None:
        watch.readers -= 1
        if not watch.readers:
            del self._watched[watch.id]
            watch.stop()


class _Watch:
    """One batch: how it stood last, as an event; `over` once nothing more comes of it."""

    stop: Cancel

    def __init__(self, batch: Batch) -> None:
        self.id = batch.id
        self.readers = self.version = 0
        self.told = b""
        self.over = False
        self._news = asyncio.Event()
        self.take(batch)

    def take(self, batch: Batch | None) -> None:
        """Note how it stands now; None: it is gone."""
        self.over = batch is None or batch.terminal
        told = self.told if batch is None else event(orjson.dumps(batch_object(batch)), "batch")
        if told != self.told:
            self.told = told
            self.version += 1
            self.wake()
        elif self.over:
            self.wake()

    def wake(self) -> None:
        """Have every reader look."""
        self._news.set()
        self._news = asyncio.Event()

    async def news_beyond(self, version: int, timeout_s: float) -> bool:
        """Return True once there is something to look at; False after `timeout_s`."""
        if self.version > version or self.over:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
