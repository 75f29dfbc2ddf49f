"""The parts of an upload on their way into a client that takes them when it wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from broker.lifecycle import drop


class BrokenOff(Exception):
    """Nobody waits for this upload any more."""


class Parts:
    """`first` and what `source` yields; what the source raised stays in `error`."""

    def __init__(self, first: bytes, source: AsyncIterator[bytes]) -> None:
        self._first = first
        self._source = source
        self._broken = asyncio.Event()
        self.size = 0
        self.error: Exception | None = None

    def break_off(self) -> None:
        """Make the client end the upload by an error, even if the source never goes on."""
        self._broken.set()

    async def all(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        piece = self._first
        while piece:
            self.size += len(piece)
            yield piece
            piece = await self._next()

    async def _next(self) -> bytes:
        broken = asyncio.ensure_future(self._broken.wait())
        coming = asyncio.ensure_future(anext(self._source, b""))
        try:
            await asyncio.wait({broken, coming}, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.is_set():
                raise BrokenOff
            return coming.result()
        except Exception as error:
            self.error = error
            raise
        finally:
            await drop(broken)
            await drop(coming)
