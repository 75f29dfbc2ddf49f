"""The bytes of a file, told as fast as their reader takes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog

from api.exchange import ClientGone
from api.files.ranges import Span
from broker.blobs.stored import bytes_of
from broker.ports import Blobs
from schemas.errors import EngineError
from schemas.files import Part

_log = structlog.get_logger("penstock.files")


async def told(blobs: Blobs, parts: Sequence[Part], span: Span) -> AsyncGenerator[bytes]:
    """Return the bytes of `span`, of which the first are there already.

    Raises EngineError where these cannot be read; ends a telling that breaks off later.
    """
    pieces = bytes_of(blobs, parts, span.start, span.end)
    first = await anext(pieces, b"")
    return _going_on(first, pieces)


async def _going_on(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        yield first
        try:
            async for piece in pieces:
                yield piece
        except EngineError as error:
            # The head is sent: only a connection that breaks off says that this is not all.
            _log.warning("a file breaks off", error=str(error))
            raise ClientGone from None
