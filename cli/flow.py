"""Streams of work: many steps at once, results in the order of the input, memory bounded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

# What goes up in one call: the answer to it fits into what lies between the server and a client
# that reads nothing before all is sent, and a proxy that limits bodies at 1 MB lets it through.
GROUP_ITEMS, GROUP_WEIGHT = 500, 512 * 1024
T = TypeVar("T")
R = TypeVar("R")


async def in_order(
    source: AsyncIterator[T], work: Callable[[T], Awaitable[R]], at_once: int
) -> AsyncGenerator[R, None]:
    """Yield `work(item)` for each item, in their order.

    At most `at_once` results are under way or wait to be taken. An error of the source is raised
    after the results of the items before it. Close it (contextlib.aclosing) to stop early.
    """
    places = asyncio.Semaphore(at_once)
    line: asyncio.Queue[asyncio.Future[R] | None] = asyncio.Queue()

    async def start_all() -> None:
        async for item in source:
            await places.acquire()
            line.put_nowait(asyncio.ensure_future(work(item)))

    starter = asyncio.ensure_future(start_all())
    starter.add_done_callback(lambda _: line.put_nowait(None))
    begun: list[asyncio.Future[R]] = []
    try:
        while (following := await line.get()) is not None:
            begun = [following]
            yield await following
            places.release()
        await starter
    finally:
        starter.cancel()
        begun += [left for left in _rest(line) if left is not None]
        for left in begun:
            left.cancel()
        await asyncio.gather(starter, *begun, return_exceptions=True)


async def arriving(items: Iterator[T], weigh: Callable[[T], int]) -> AsyncGenerator[list[T], None]:
    """Yield what a blocking iterator has given meanwhile, read a little ahead in a thread.

    At least one item at once, and at most `GROUP_ITEMS` of `GROUP_WEIGHT` together. Whatever the
    iterator raises is raised here. The thread may outlive this in a blocked read; it does not keep
    the process alive.
    """
    ahead = _Ahead(weigh)
    threading.Thread(target=ahead.fill, args=(items,), daemon=True).start()
    while some := await ahead.take():
        yield some
    if ahead.error is not None:
        raise ahead.error


class _Ahead(Generic[T]):
    """What a thread has read and the loop has not taken yet."""

    def __init__(self, weigh: Callable[[T], int]) -> None:
        self.error: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._weigh = weigh
        self._items: list[T] = []
        self._weight = 0
        self._ended = self._told = False
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()

    def fill(self, items: Iterator[T]) -> None:
        """Read everything, as far ahead as there is room; runs in the thread."""
        # The loop may be closed by the time that a blocked read returns.
        with contextlib.suppress(RuntimeError):
            try:
                for item in items:
                    self._put(item)
            except Exception as error:  # noqa: BLE001  because it is raised on the other side
                self.error = error
            with self._changed:
                self._ended = True
                self._tell()

    async def take(self) -> list[T]:
        """Return what is there as soon as there is something; nothing after the end."""
        await self._arrived.wait()
        with self._changed:
            some, self._items, self._weight = self._items, [], 0
            self._told = False
            self._arrived.clear()
            if self._ended:
                self._tell()
            self._changed.notify()
        return some

    def _put(self, item: T) -> None:
        weight = self._weigh(item)
        with self._changed:
            while self._items and not self._fits(weight):
                self._changed.wait()
            self._items.append(item)
            self._weight += weight
            self._tell()

    def _fits(self, weight: int) -> bool:
        return len(self._items) < GROUP_ITEMS and self._weight + weight <= GROUP_WEIGHT

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._arrived.set)


def _rest(line: asyncio.Queue[T]) -> Iterator[T]:
    while not line.empty():
        yield line.get_nowait()
