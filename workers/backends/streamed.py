"""Reading a streamed answer with care: event by event, bounded, and to its proper end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

from aiohttp import ClientError, ClientResponse

from broker.scheduling.retry import Failure
from workers.backends.answers import pieces
from workers.backends.chunks import Chunks
from workers.backends.port import CallFailed, Sink
from workers.backends.sse import EventParser

EVENT_STREAM = "text/event-stream"
# A stream that is over is read to its end only so that its connection can be used again.
_LAST_WORDS_S = 0.25


async def read_stream(
    response: ClientResponse, max_bytes: int, chunks: Chunks, sink: Sink
) -> bytes:
    """Give each event that `chunks` passes on to `sink`; return them with their blank lines.

    Raises CallFailed for what is no such stream, is too large, tells an error or ends too early.
    """
    kind = response.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() != EVENT_STREAM:
        raise CallFailed(Failure.UNUSABLE, f"the backend did not stream but sent {kind[:100]!r}")
    kept: list[bytes] = []
    parser = EventParser()
    try:
        async with aclosing(pieces(response, max_bytes)) as body:
            async for piece in body:
                await _pass_on(parser.feed(piece), chunks, sink, kept)
                if chunks.is_done:
                    await _read_out(response)
                    break
            else:
                await _pass_on(parser.end(), chunks, sink, kept)
        chunks.end()
        return b"".join(event + b"\n\n" for event in kept)
    finally:
        # A failure's traceback keeps this frame until the collector comes by.
        kept.clear()


async def _pass_on(events: list[bytes], chunks: Chunks, sink: Sink, kept: list[bytes]) -> None:
    for event in events:
        passed = chunks.take(event)
        if passed is not None:
            kept.append(passed)
            await sink(passed)


async def _read_out(response: ClientResponse) -> None:
    with suppress(ClientError, OSError, TimeoutError):
        async with asyncio.timeout(_LAST_WORDS_S):
            await response.content.readany()
