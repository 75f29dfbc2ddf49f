"""All that is wrong with a file, by line; it may be as much as the file itself."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson

from broker.pauses import Pauses
from schemas.batches import LineError

# What is noted in memory before it is written, sorted; small enough to be sorted in a moment.
_RUN_BYTES = 1024 * 1024
_BLOCK_BYTES = 8 * 1024

_Noted = tuple[int, bytes]  # the line's number, 0 for the whole file; the mistake as JSON


class Mistakes:
    """Collects mistakes; `scratch` is made once they are more than fit in memory."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._waiting: list[_Noted] = []
        self._waiting_bytes = 0
        self._runs: list[tuple[int, int]] = []
        self.count = 0

    async def add(self, mistake: LineError) -> None:
        """Note a mistake; the order does not matter."""
        noted = _encode(mistake)
        self._waiting.append((mistake.line or 0, noted))
        self._waiting_bytes += len(noted)
        self.count += 1
        if self._waiting_bytes >= _RUN_BYTES:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            await asyncio.to_thread(self._write, waiting)

    async def in_order(self) -> AsyncIterator[LineError]:
        """Yield all of them by line; this can be repeated while the scratch file is there."""
        pauses = Pauses()
        runs: list[Iterator[_Noted]] = [self._run(*run) for run in self._runs]
        for _, noted in heapq.merge(*runs, sorted(self._waiting)):
            yield _decode(noted)
            await pauses.turn()

    async def first(self, most: int) -> tuple[LineError, ...]:
        """Return the first of them by line."""
        found: list[LineError] = []
        async for mistake in self.in_order():
            if len(found) == most:
                break
            found.append(mistake)
        return tuple(found)

    def _write(self, waiting: list[_Noted]) -> None:
        run = b"".join(noted for _, noted in sorted(waiting))
        with self._scratch.open("ab") as file:
            start = file.tell()
            file.write(run)
        self._runs.append((start, start + len(run)))

    def _run(self, start: int, end: int) -> Iterator[_Noted]:
        """Yield a sorted run; so little is read at once that it keeps nobody waiting."""
        rest = b""
        while start < end:
            with self._scratch.open("rb") as file:
                file.seek(start)
                block = file.read(min(_BLOCK_BYTES, end - start))
            start += len(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from ((_line(noted), noted) for noted in whole)


def _encode(mistake: LineError) -> bytes:
    fields = [mistake.line, mistake.code, mistake.message, mistake.param, mistake.custom_id]
    return orjson.dumps(fields) + b"\n"


def _decode(noted: bytes) -> LineError:
    line, code, message, param, custom_id = orjson.loads(noted)
    return LineError(code, message, line, param, custom_id)


def _line(noted: bytes) -> int:
    line: int | None = orjson.loads(noted)[0]
    return line or 0
