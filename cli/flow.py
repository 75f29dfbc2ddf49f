"""Streams of work: many steps at once, results in the order of the input, memory bounded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

_AHEAD = 16
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


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


async def arriving(items: Iterator[T]) -> AsyncGenerator[T, None]:
    """Yield what a blocking iterator gives, read a little ahead in a thread of its own.

    Whatever the iterator raises is raised here. The thread may outlive this in a blocked read; it
    does not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Queue[T | _End] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)

    def read() -> None:
        end = _End(None)
        # The loop may be closed by the time that a blocked read returns.
        with contextlib.suppress(RuntimeError):
            try:
                for item in items:
                    room.acquire()
                    loop.call_soon_threadsafe(line.put_nowait, item)
            except Exception as error:  # noqa: BLE001  because it is raised on the other side
                end = _End(error)
            loop.call_soon_threadsafe(line.put_nowait, end)

    threading.Thread(target=read, daemon=True).start()
    while not isinstance(item := await line.get(), _End):
        room.release()
        yield item
    if item.error is not None:
        raise item.error


def _rest(line: asyncio.Queue[T]) -> Iterator[T]:
    while not line.empty():
        yield line.get_nowait()
