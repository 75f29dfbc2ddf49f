"""One thread that reads, beside the writer: it sees what is committed and never waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from schemas.errors import StoreUnavailable

T = TypeVar("T")


class Reader:
    """Runs queries on its own thread; each is a function of the connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-reader")

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Return the query's value. Raises StoreUnavailable when the file cannot be read."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, query, self._connection)
        except apsw.Error as error:
            raise StoreUnavailable(f"The data file cannot be read: {error}.") from error

    async def close(self) -> None:
        """Finish what runs, then close the file; safe to call twice."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._thread.shutdown)
            self._connection.close()
