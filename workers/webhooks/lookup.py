"""Resolving the names of receivers, away from the resolver that backends depend on.

A name server that never answers holds a thread until the system gives up: so many threads, and one
for each name.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

Lookup = Callable[[str], Awaitable[list[str]]]

_THREADS = 32


class Lookups:
    """The look-ups under way, each name's only once at a time."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """Return every address of `host`. Raises OSError where there is none."""
        found = self._under_way.get(host)
        if found is None:
            if len(self._under_way) >= _THREADS:
                raise OSError("too many names are being looked up")
            found = self._under_way[host] = asyncio.get_running_loop().create_future()
            found.add_done_callback(lambda future: self._done(host, future))
            # A daemon: the end of the process does not wait for a silent name server.
            threading.Thread(target=_look_up, args=(host, found), daemon=True).start()
        return await asyncio.shield(found)

    def _done(self, host: str, future: asyncio.Future[list[str]]) -> None:
        self._under_way.pop(host, None)
        if not future.cancelled():
            future.exception()  # whoever asked may have given up meanwhile


def _look_up(host: str, found: asyncio.Future[list[str]]) -> None:
    addresses: list[str] = []
    error: Exception | None = None
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
    except (OSError, UnicodeError) as failed:
        error = failed
    try:
        found.get_loop().call_soon_threadsafe(_tell, found, addresses, error)
    except RuntimeError:
        return  # the loop has ended


def _tell(found: asyncio.Future[list[str]], addresses: list[str], error: Exception | None) -> None:
    if found.done():
        return
    if error is not None:
        found.set_exception(OSError(str(error)))
    else:
        found.set_result(addresses)
