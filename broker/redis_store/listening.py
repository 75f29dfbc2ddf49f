"""What this process hears of event logs, by request, until its readers take it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from broker.ports.events import Chunk

# A reader that falls further behind reads the log instead.
_MOST_BYTES = 256 * 1024


class Listening:
    """What one reader has heard and not taken; `missed` says that it must look at the log."""

    def __init__(self) -> None:
        self.missed = True
        self._chunks: list[Chunk] = []
        self._bytes = 0
        self._news = asyncio.Event()

    def take(self, after: int) -> Sequence[Chunk]:
        """Return what was heard of the events behind `after`, as far as nothing is left out."""
        chunks = [chunk for chunk in self._chunks if chunk.number > after]
        self._clear()
        whole = [chunk for at, chunk in enumerate(chunks, after + 1) if chunk.number == at]
        # The log knows whether what is left out here is lost there as well.
        self.missed = self.missed or len(whole) < len(chunks)
        return whole

    async def news(self, timeout_s: float) -> None:
        """Return when something was heard, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    def hear(self, chunks: Sequence[Chunk] | None) -> None:
        """Take in what was said; None: there is something in the log."""
        self._bytes += sum(len(chunk.data) for chunk in chunks or ())
        if chunks is None or self._bytes > _MOST_BYTES:
            self._clear()
            self.missed = True
        else:
            self._chunks += chunks
        self._news.set()

    def _clear(self) -> None:
        self._chunks, self._bytes = [], 0
        self._news.clear()


class Chunks:
    """The readers of this process."""

    def __init__(self) -> None:
        self._readers: dict[str, list[Listening]] = {}

    @contextmanager
    def listen(self, request_id: str) -> Iterator[Listening]:
        """Take part while the block lasts."""
        reader = Listening()
        self._readers.setdefault(request_id, []).append(reader)
        try:
            yield reader
        finally:
            readers = self._readers[request_id]
            readers.remove(reader)
            if not readers:
                del self._readers[request_id]

    def others(self, request_id: str, reader: Listening) -> bool:
        """Tell whether somebody else here reads the same log."""
        return any(each is not reader for each in self._readers.get(request_id, ()))

    def hear(self, request_id: str, chunks: Sequence[Chunk] | None) -> None:
        """Pass on what was said of a log."""
        for reader in self._readers.get(request_id, ()):
            reader.hear(chunks)

    def look_everywhere(self) -> None:
        """Let every reader look at its log: something may have been missed."""
        for readers in self._readers.values():
            for reader in readers:
                reader.hear(None)
