"""Bytes that are too large for records and messages: files, large bodies and results."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Protocol


class Blobs(Protocol):
    """Named blobs. A key is parts of `[A-Za-z0-9_.-]` joined by `/`; none is `.` or `..`.

    Methods raise BlobsUnavailable when the place cannot be used.
    """

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        """Store a blob durably, whole or not at all, in place of an older one; return its size.

        Whatever `data` raises is raised here, and nothing is stored.
        """

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` to before `end`, piece by piece, at most 1 MiB each.

        Raises BlobMissing when there is no such blob.
        """

    async def size(self, key: str) -> int | None:
        """Return the size of a blob; None if there is none."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Forget blobs; those that are not there are no mistake."""

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with `prefix`, in their order."""

    async def start(self) -> None:
        """Make the place usable. Raises ConfigError where it cannot be."""

    async def stop(self) -> None:
        """Close everything."""

    async def health(self) -> str | None:
        """Return None when it is well, else a sentence."""
