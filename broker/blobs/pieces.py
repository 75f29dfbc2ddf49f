"""Pieces of bytes on their way: as they come, in the sizes in which they are read and written."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator

# The most that a read yields at once; a write gathers as much before it goes to the disk. Each of
# hundreds of uploads and of readers that are slow holds one or two in memory.
PIECE = 256 * 1024


async def each_of(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield `data` in pieces of at most PIECE bytes."""
    if isinstance(data, bytes):
        for piece in cut(data):
            yield piece
        return
    async for given in data:
        for piece in cut(given):
            yield piece


async def gathered(data: bytes | AsyncIterable[bytes], least: int) -> AsyncIterator[list[bytes]]:
    """Yield the pieces of `data` in runs of at least `least` bytes; the last may be shorter."""
    run: list[bytes] = []
    size = 0
    async for piece in each_of(data):
        run.append(piece)
        size += len(piece)
        if size >= least:
            yield run
            run, size = [], 0
    if run:
        yield run


def cut(data: bytes) -> Iterator[bytes]:
    """Yield `data` in pieces of at most PIECE bytes; nothing for none."""
    if len(data) <= PIECE:
        if data:
            yield data
        return
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


async def taken(source: AsyncIterator[bytes], least: int) -> bytes:
    """Return the next `least` bytes or a little more; fewer at the end of `source`."""
    run: list[bytes] = []
    size = 0
    while size < least and (piece := await anext(source, b"")):
        run.append(piece)
        size += len(piece)
    return b"".join(run)
