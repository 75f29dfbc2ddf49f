"""Who waits for which request to end, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Waiters:
    """Futures by request id, all woken by the commit."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.tells: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def expecting(self, request_id: str) -> Iterator[asyncio.Future[None]]:
        """Yield a future that is done once the request has ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request_id, set()).add(future)
        try:
            yield future
        finally:
            future.cancel()
            self._forget(request_id, future)

    def wake(self, request_id: str) -> None:
        """Tell everyone who waits for this request, and whoever may be running it."""
        for tell in self.tells:
            tell(request_id)
        for future in self._waiting.pop(request_id, ()):
            if not future.done():
                future.set_result(None)

    def wake_if(self, ended: bool, request_id: str) -> None:
        """Tell of a step that may have ended the request, if it did: a call may depend on it."""
        if ended:
            self.wake(request_id)

    def wake_all(self) -> None:
        """Tell everyone, because the store closes."""
        for request_id in tuple(self._waiting):
            self.wake(request_id)

    def _forget(self, request_id: str, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(request_id)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[request_id]
