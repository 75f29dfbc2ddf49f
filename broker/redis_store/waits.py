"""One pub/sub connection per process that wakes its waiters (PROTOCOL 4).

A lost message costs latency only: after each reconnect every waiter looks for itself, and each
looks every two seconds anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from broker.lifecycle import backoff
from broker.ports.events import Chunk
from broker.redis_store.fields import record_of
from broker.redis_store.listening import Chunks
from broker.redis_store.node import Node
from broker.redis_store.routes import Routes
from schemas.errors import StoreUnavailable
from schemas.ids import PARTITIONS, partition_of
from schemas.record import Record

_log = structlog.get_logger("penstock.redis")
_PING_S = 4.0
_SILENT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0


class Ending:
    """One waiter for one request."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._record: Record | None = None

    def tell(self, record: Record | None) -> None:
        """Wake the waiter: with the record, or to look for itself."""
        self._record = record
        self._news.set()

    async def next(self, timeout_s: float) -> Record | None:
        """Return the record if it came; None to look at the store."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return None
        self._news.clear()
        return self._record


class Waits:
    """Who waits in this process: for an end, a chunk, a free slot, a change of a switch."""

    def __init__(self, routes: Routes, *channels: str) -> None:
        self._routes = routes
        self._channels = channels
        self._endings: dict[str, list[Ending]] = {}
        self._free: dict[str, list[Callable[[], None]]] = {}
        self._ended: list[Callable[[str], None]] = []
        self._switched: list[Callable[[], None]] = []
        self._hooks: list[Callable[[], None]] = []
        self._batches: list[Callable[[], None]] = []
        self._outbox: list[Callable[[int], None]] = []
        self.chunks = Chunks()
        self.connected = False

    @contextmanager
    def expect(self, request_id: str) -> Iterator[Ending]:
        """Take part while the block lasts."""
        ending = Ending()
        self._endings.setdefault(request_id, []).append(ending)
        try:
            yield ending
        finally:
            waiting = self._endings[request_id]
            waiting.remove(ending)
            if not waiting:
                del self._endings[request_id]

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        """Call `wake` when a slot of `backend` may be free."""
        self._free.setdefault(backend, []).append(wake)

    def on_ended(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the id of each request whose end this process is told of."""
        self._ended.append(tell)

    def on_switched(self, tell: Callable[[], None]) -> None:
        """Call `tell` when a switch may have changed."""
        self._switched.append(tell)

    def on_hooks(self, tell: Callable[[], None]) -> None:
        """Call `tell` when a webhook endpoint may have changed."""
        self._hooks.append(tell)

    def on_batches(self, tell: Callable[[], None]) -> None:
        """Call `tell` when a batch may want something of who runs it."""
        self._batches.append(tell)

    def on_outbox(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with a partition whose outbox may have an entry that should not wait."""
        self._outbox.append(tell)

    async def listen(self) -> None:
        """Hear messages, over ever new connections, until cancelled."""
        pauses = backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                await self._hear_until_lost()
            except (RedisError, StoreUnavailable, OSError) as error:
                if self.connected:
                    _log.warning("no longer listening to Redis; trying again", error=str(error))
                    pauses = backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
            self.connected = False
            await asyncio.sleep(next(pauses))

    async def _hear_until_lost(self) -> None:
        await self._routes.find()
        # In a cluster every node carries every message; the first that answers will do.
        node, connection = await self._subscribed()
        pinging = asyncio.create_task(_keep_pinging(connection), name="redis: ping")
        try:
            self.connected = True
            self._look_everywhere()
            while True:
                message = await connection.read_response(timeout=_SILENT_S)
                if message is None:
                    raise TimeoutError(f"nothing heard for {_SILENT_S} s")
                self._take(message)
        except (RedisError, OSError):
            # This connection notices first, so that the next call finds a fresh one.
            await node.forget()
            raise
        finally:
            pinging.cancel()
            await connection.disconnect(nowait=True)

    async def _subscribed(self) -> tuple[Node, AbstractConnection]:
        trouble: Exception = StoreUnavailable("no Redis server is known")
        for node in self._routes.nodes:
            connection = node.connection()
            try:
                async with asyncio.timeout(2.0):
                    await connection.connect()  # type: ignore[no-untyped-call]  # because redis-py leaves it untyped
                    await connection.send_command("SUBSCRIBE", *self._channels)
                    for _ in self._channels:
                        await connection.read_response(timeout=2.0)
            except (RedisError, OSError) as error:
                await connection.disconnect(nowait=True)
                trouble = error
            else:
                return node, connection
        raise trouble

    def _take(self, message: list[Any]) -> None:
        if message[0] != b"message":
            return  # the answer to a ping
        match msgpack.unpackb(message[2], raw=True):
            case [b"ended", request_id, flat, result]:
                self._tell(request_id.decode(), flat, result)
            case [b"ended", request_id]:
                self._tell(request_id.decode(), None, None)
            case [b"chunks", request_id, attempt, first, data]:
                numbered = enumerate(data, start=int(first))
                chunks = [Chunk(number, int(attempt), each) for number, each in numbered]
                self.chunks.hear(request_id.decode(), chunks)
            case [b"chunks", request_id]:
                self.chunks.hear(request_id.decode(), None)
            case [b"free", backend]:
                for wake in self._free.get(backend.decode(), ()):
                    wake()
            case [b"outbox", request_id]:
                self._tell_outbox(partition_of(request_id.decode()))
            case [b"switched"]:
                _tell_all(self._switched)
            case [b"hooks"]:
                _tell_all(self._hooks)
            case [b"batches"]:
                _tell_all(self._batches)

    def _tell_outbox(self, partition: int) -> None:
        for tell in self._outbox:
            tell(partition)

    def _tell(self, request_id: str, flat: list[bytes] | None, result: bytes | None) -> None:
        for tell in self._ended:
            tell(request_id)
        if endings := self._endings.get(request_id):
            record = record_of(request_id, flat, result) if flat else None
            for ending in endings:
                ending.tell(record)

    def _look_everywhere(self) -> None:
        for endings in self._endings.values():
            for ending in endings:
                ending.tell(None)
        self.chunks.look_everywhere()
        for wakes in self._free.values():
            for wake in wakes:
                wake()
        for partition in range(PARTITIONS):
            self._tell_outbox(partition)
        _tell_all(self._switched)
        _tell_all(self._hooks)
        _tell_all(self._batches)


def _tell_all(tells: list[Callable[[], None]]) -> None:
    for tell in tells:
        tell()


async def _keep_pinging(connection: AbstractConnection) -> None:
    """Make the server speak, so that silence means a dead connection."""
    while True:
        await asyncio.sleep(_PING_S)
        await connection.send_command("PING", check_health=False)
