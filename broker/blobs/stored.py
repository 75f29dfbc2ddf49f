"""The bytes of a file, which lie in one blob after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from broker.ports import Blobs
from schemas.files import Part


async def bytes_of(
    blobs: Blobs, parts: Sequence[Part], start: int = 0, end: int | None = None
) -> AsyncGenerator[bytes]:
    """Yield the bytes from `start` to before `end`, in pieces as `Blobs.read` has them.

    Raises BlobMissing, BlobsUnavailable.
    """
    begins = 0
    for part in parts:
        first = max(0, start - begins)
        last = part.bytes if end is None else min(part.bytes, end - begins)
        if first < last:
            async with aclosing(blobs.read(part.key, first, last)) as pieces:
                async for piece in pieces:
                    yield piece
        begins += part.bytes
