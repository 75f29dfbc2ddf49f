"""Blobs in memory, which come in pieces as small as a test likes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable

from schemas.errors import BlobMissing
from schemas.files import Part


class MemoryBlobs:
    """Fills Blobs; every blob is read in pieces of `piece_bytes`."""

    def __init__(self, piece_bytes: int = 64 * 1024) -> None:
        self.kept: dict[str, bytes] = {}
        self._piece_bytes = piece_bytes

    def file(self, *contents: bytes) -> list[Part]:
        """Store the parts of a file."""
        parts = []
        for content in contents:
            key = f"files/{len(self.kept)}"
            self.kept[key] = content
            parts.append(Part(key, len(content)))
        return parts

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        self.kept[key] = (
            data if isinstance(data, bytes) else b"".join([each async for each in data])
        )
        return len(self.kept[key])

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        if key not in self.kept:
            raise BlobMissing(key)
        wanted = self.kept[key][start:end]
        for at in range(0, len(wanted), self._piece_bytes):
            yield wanted[at : at + self._piece_bytes]

    async def size(self, key: str) -> int | None:
        return len(self.kept[key]) if key in self.kept else None

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    async def keys(self, prefix: str) -> AsyncGenerator[str]:
        for key in sorted(self.kept):
            if key.startswith(prefix):
                yield key

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def health(self) -> str | None:
        return None
