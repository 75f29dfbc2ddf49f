"""Which custom_ids of a file are not its own, found on disk: a million of them fit in no record.

Every id goes into one of many buckets, all of them in one scratch file. Equal ones meet in the same
bucket, and a bucket is small enough to look at in memory.
"""

from __future__ import annotations

import asyncio
import struct
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from broker.pauses import Pauses
from schemas.batches import LineError

_BUCKETS = 256
_BLOCK_BYTES = 1024 * 1024
_ENTRY = struct.Struct("<QH")  # the line's number, the bytes of its id
_SHOWN_CHARACTERS = 80

_Chunk = tuple[int, int]  # where in the scratch file, and how many bytes


class CustomIds:
    """The ids of one file; `scratch` is made once they are more than fit in memory."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._waiting = [bytearray() for _ in range(_BUCKETS)]
        self._waiting_bytes = 0
        # Of each part of the scratch file: where it begins, and where in it each bucket ends.
        self._parts: list[tuple[int, array[int]]] = []

    async def add(self, custom_id: str, line: int) -> None:
        """Note that `line` has this id; lines come in order."""
        encoded = custom_id.encode()
        entry = _ENTRY.pack(line, len(encoded)) + encoded
        self._waiting[hash(encoded) % _BUCKETS] += entry
        self._waiting_bytes += len(entry)
        if self._waiting_bytes >= _BLOCK_BYTES:
            await asyncio.to_thread(self._write)

    async def repeated(self) -> AsyncIterator[LineError]:
        """Yield a mistake for every line whose id an earlier one has, bucket by bucket."""
        pauses = Pauses()
        for bucket in range(_BUCKETS):
            first: dict[bytes, int] = {}
            async for block in self._blocks(bucket):
                for encoded, line in _entries(block):
                    earlier = first.setdefault(encoded, line)
                    if earlier != line:
                        yield _mistake(encoded.decode(), earlier, line)
                    await pauses.turn()

    async def _blocks(self, bucket: int) -> AsyncIterator[bytes | bytearray]:
        """Yield the entries of a bucket in order, at most about a MiB at once."""
        chunks: list[_Chunk] = []
        for chunk in self._chunks(bucket):
            if chunks and sum(size for _, size in chunks) + chunk[1] > _BLOCK_BYTES:
                yield await asyncio.to_thread(self._read, chunks)
                chunks = []
            chunks.append(chunk)
        if chunks:
            yield await asyncio.to_thread(self._read, chunks)
        yield self._waiting[bucket]

    def _chunks(self, bucket: int) -> Iterator[_Chunk]:
        for start, ends in self._parts:
            before = ends[bucket - 1] if bucket else 0
            if ends[bucket] > before:
                yield start + before, ends[bucket] - before

    def _write(self) -> None:
        with self._scratch.open("ab") as file:
            start, ends = file.tell(), array("I")
            for entries in self._waiting:
                file.write(entries)
                entries.clear()
                ends.append(file.tell() - start)
        self._parts.append((start, ends))
        self._waiting_bytes = 0

    def _read(self, chunks: Sequence[_Chunk]) -> bytes:
        with self._scratch.open("rb") as file:
            found = []
            for offset, size in chunks:
                file.seek(offset)
                found.append(file.read(size))
        return b"".join(found)


def _entries(block: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at < len(block):
        line, size = _ENTRY.unpack_from(block, at)
        at += _ENTRY.size
        yield bytes(block[at : at + size]), line
        at += size


def _mistake(custom_id: str, earlier: int, line: int) -> LineError:
    shown = custom_id[:_SHOWN_CHARACTERS]
    return LineError(
        "duplicate_custom_id",
        f"The `custom_id` {shown!r} is that of line {earlier} already, and again of line {line}; "
        "give every line one of its own.",
        line,
        "custom_id",
        custom_id,
    )
