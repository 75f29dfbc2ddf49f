"""Following a batch to its end: by its events, over every connection that is lost meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson

from cli.client import Client, Refused, Unreachable, segment

_ENDED = ("completed", "failed", "expired", "cancelled")
# A server that has answered once may be away for so long.
_PATIENCE_S = 120.0
_PAUSE_S, _MOST_PAUSE_S = 0.5, 5.0

Batch = dict[str, Any]


def has_ended(batch: Batch) -> bool:
    """Tell whether a batch has ended."""
    return batch["status"] in _ENDED


async def states(client: Client, batch_id: str) -> AsyncGenerator[Batch | None, None]:
    """Yield a batch as it is, whenever it has changed, and as it has ended.

    None where the server does not answer just now. Raises Refused, and Unreachable when it is away
    for long.
    """
    path = f"/v1/batches/{segment(batch_id)}"
    gives_up_at, pause_s = time.monotonic(), _PAUSE_S
    while True:
        try:
            async with aclosing(_looks(client, path)) as looks:
                async for batch in looks:
                    gives_up_at, pause_s = time.monotonic() + _PATIENCE_S, _PAUSE_S
                    yield batch
                    if has_ended(batch):
                        return
        except (Unreachable, Refused) as error:
            passes = isinstance(error, Unreachable) or error.status >= 500
            if not passes or time.monotonic() > gives_up_at:
                raise
            yield None
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _MOST_PAUSE_S)


async def _looks(client: Client, path: str) -> AsyncGenerator[Batch, None]:
    """Yield a batch as it is, and then what its events tell for as long as they come."""
    batch = await client.ask("GET", path)
    yield batch
    if has_ended(batch):
        return
    async with client.streamed(f"{path}/events") as answer:
        async for event in events(answer.pieces):
            yield event


async def events(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Batch, None]:
    """Yield what whole events `batch` tell; one that breaks off is dropped."""
    begun = b""
    async for piece in pieces:
        *whole, begun = (begun + piece).split(b"\n\n")
        for event in whole:
            name, _, data = event.partition(b"\n")
            if name == b"event: batch":
                yield orjson.loads(data.removeprefix(b"data: "))
