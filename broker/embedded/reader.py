"""One thread that reads, beside the writer: it sees what is committed and never waits for it.

What has come by then is read and told together: waking the other thread costs more than a query.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw
import structlog

from broker.embedded.thread_queue import next_batch
from schemas.errors import StoreUnavailable

T = TypeVar("T")

# So few that a long query among them keeps few waiting.
MAX_BATCH = 32
_log = structlog.get_logger("penstock.embedded")


@dataclass(slots=True)
class _Task:
    query: Callable[[apsw.Connection], Any]
    answer: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None


class Reader:
    """Runs queries on its own thread; each is a function of the connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="penstock-reader", daemon=True)
        self._thread.start()

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Return the query's value. Raises StoreUnavailable when the file cannot be read."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        task = _Task(query, self._loop.create_future())
        self._waiting.put(task)
        try:
            value: T = await task.answer
        except apsw.Error as error:
            raise StoreUnavailable(f"The data file cannot be read: {error}.") from error
        return value

    async def close(self) -> None:
        """Finish what runs, then close the file; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = next_batch(self._waiting, MAX_BATCH)
            for task in batch:
                self._read(task)
            self._tell(batch)
        self._connection.close()

    def _read(self, task: _Task) -> None:
        try:
            task.value = task.query(self._connection)
        except Exception as error:  # noqa: BLE001  because it is the caller's to see
            task.error = error

    def _tell(self, batch: list[_Task]) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, batch)
        except RuntimeError:
            _log.warning("the loop ended before its store")


def _resolve(batch: list[_Task]) -> None:
    for task in batch:
        if task.answer.done():
            continue
        if task.error is not None:
            task.answer.set_exception(task.error)
        else:
            task.answer.set_result(task.value)
