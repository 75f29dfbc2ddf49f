"""Joining all commands of one event-loop turn into one pipeline per server (PROTOCOL 4).

Nothing waits for a timer, and a command's end, good or bad, concerns its own caller only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from broker.lifecycle import Tasks
from broker.redis_store.node import Node, pack
from broker.redis_store.routes import Routes
from broker.redis_store.scripts import source_of
from schemas.errors import StoreUnavailable

_log = structlog.get_logger("penstock.redis")
FLIGHT_S = 2.0
_FLIGHTS = 4  # pipelines on their way to one server; what comes meanwhile makes the next larger
_MOST_COMMANDS = 256
_MOST_BYTES = 16 * 1024 * 1024
_MOST_TRIES = 4
_ASKING = pack("ASKING")


@dataclass(slots=True, eq=False)
class _Order:
    """One command on its way. `to` names a server that overrules the tag's."""

    tag: str
    command: tuple[Any, ...]
    packed: bytes
    answer: asyncio.Future[Any]
    tries: int = 0
    to: Node | None = None
    asking: bool = False


class Batcher:
    """Where every command goes through."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._tasks = Tasks("redis batcher")
        self._lanes: dict[Node, _Lane] = {}
        self._waiting: list[_Order] = []
        self._closed = False

    def submit(self, tag: str, *command: Any) -> asyncio.Future[Any]:
        """Send `command` to the server of `tag`; the future fails with StoreUnavailable."""
        # Packed here, so that an argument that cannot be sent is its own caller's error.
        answer = asyncio.get_running_loop().create_future()
        order = _Order(tag, command, pack(*command), answer)
        if self._closed:
            order.answer.set_exception(StoreUnavailable("the store is closed"))
        else:
            self._queue(order)
        return order.answer

    def again(self, order: _Order) -> None:
        """Send an order once more, unless that was tried too often."""
        order.tries += 1
        if order.tries >= _MOST_TRIES or self._closed:
            fail([order], "Redis moved the data again and again")
        elif not order.answer.done():
            self._queue(order)

    def find_again(self, orders: list[_Order]) -> None:
        """Ask who holds what, then send `orders`."""
        if self._closed:
            fail(orders, "the store is closed")
        else:
            self._tasks.spawn("find", self._find_then_send(orders))

    def reconnect(self, node: Node) -> None:
        """Leave `node`'s connections: its name may stand for another server now."""
        if not self._closed:
            self._tasks.spawn("reconnect", node.forget())
        self.find_again([])

    async def close(self) -> None:
        """End all flights; their callers get StoreUnavailable."""
        self._closed = True
        orders, self._waiting = self._waiting, []
        fail(orders, "the store is closed")
        for lane in self._lanes.values():
            lane.close()
        await self._tasks.stop()
        await self.routes.close()

    def _queue(self, order: _Order) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(order)

    def _flush(self) -> None:
        orders, self._waiting = self._waiting, []
        unknown = []
        for order in orders:
            node = order.to or self.routes.node_of(order.tag)
            if node is None:
                unknown.append(order)
            else:
                self._lane(node).queue.append(order)
        for lane in self._lanes.values():
            lane.pump()
        if unknown:
            self.find_again(unknown)

    def _lane(self, node: Node) -> _Lane:
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = _Lane(self, node, self._tasks)
        return lane

    async def _find_then_send(self, orders: list[_Order]) -> None:
        try:
            await self.routes.find()
        except StoreUnavailable as error:
            fail(orders, str(error))
        except BaseException:
            fail(orders, "the store is closed")
            raise
        for order in orders:
            self.again(order)


class _Lane:
    """The pipelines to one server."""

    def __init__(self, batcher: Batcher, node: Node, tasks: Tasks) -> None:
        self.queue: deque[_Order] = deque()
        self._batcher = batcher
        self._node = node
        self._tasks = tasks
        self._flights = 0

    def pump(self) -> None:
        """Start pipelines while there is work and room."""
        while self.queue and self._flights < _FLIGHTS:
            if batch := self._next():
                self._flights += 1
                self._tasks.spawn("flight", self._fly(batch))

    def close(self) -> None:
        """Tell those who still wait."""
        fail(self.queue, "the store is closed")
        self.queue.clear()

    def _next(self) -> list[_Order]:
        batch: list[_Order] = []
        size = 0
        while self.queue and len(batch) < _MOST_COMMANDS and size < _MOST_BYTES:
            order = self.queue.popleft()
            if not order.answer.done():  # its caller may have been cancelled
                batch.append(order)
                size += len(order.packed)
        return batch

    async def _fly(self, batch: list[_Order]) -> None:
        try:
            async with asyncio.timeout(FLIGHT_S):
                answers = await self._node.run(_packed(batch))
        except TimeoutError:
            await self._node.forget()
            # Who queued behind it has waited as long; another turn would double the bound.
            self._lose(batch, f"Redis at {self._node} did not answer within {FLIGHT_S} s")
            self._lose(list(self.queue), f"Redis at {self._node} does not answer")
        except StoreUnavailable as error:
            self._lose(batch, str(error))
        except BaseException:
            fail(batch, "the store is closed")
            raise
        else:
            self._deliver(batch, answers)
        finally:
            self._flights -= 1
            self.pump()

    def _lose(self, orders: list[_Order], why: str) -> None:
        fail(orders, why)
        if self._batcher.routes.cluster:
            self._batcher.find_again([])

    def _deliver(self, batch: list[_Order], answers: list[Any]) -> None:
        answer_of = iter(answers)
        for order in batch:
            if order.asking:
                next(answer_of)  # what ASKING itself answered
            answer = next(answer_of)
            if not isinstance(answer, ResponseError):
                if not order.answer.done():
                    order.answer.set_result(answer)
            else:
                self._mend(order, answer)

    def _mend(self, order: _Order, error: ResponseError) -> None:
        order.to, order.asking = None, False
        if isinstance(error, NoScriptError):
            # EVAL keeps the script in the server's cache for the next EVALSHA.
            _, sha, *rest = order.command
            order.packed = pack("EVAL", source_of(sha), *rest)
            self._batcher.again(order)
        elif isinstance(error, MovedError):
            self._batcher.find_again([order])
        elif isinstance(error, AskError):
            order.to = self._batcher.routes.node_at((error.host, error.port))
            order.asking = True
            self._batcher.again(order)
        else:
            if isinstance(error, ReadOnlyError | ClusterDownError):
                self._batcher.reconnect(self._node)
            elif not isinstance(error, OutOfMemoryError):
                _log.error("Redis refused a command", error=str(error), server=str(self._node))
            fail([order], f"Redis at {self._node} refused: {error}")


def fail(orders: Any, why: str) -> None:
    """Tell the callers of `orders` that there is no answer."""
    for order in orders:
        if not order.answer.done():
            order.answer.set_exception(StoreUnavailable(why))


def _packed(batch: list[_Order]) -> list[bytes]:
    return [
        part for order in batch for part in ((_ASKING,) if order.asking else ()) + (order.packed,)
    ]
