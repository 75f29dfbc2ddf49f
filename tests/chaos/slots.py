"""What Redis counts of slots and limits, read past Penstock's own code for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio

from broker.redis_store.keys import Keys
from schemas.config import ServerConfig
from tests.fakes.counters import counters_left

NAMESPACE = ServerConfig().namespace


async def slots_held(url: str, backend: str) -> int:
    """Return the number of slots whose lease has not ended; ended ones bind nobody."""
    return await _count(url, backend, time.time(), float("inf"))


async def slots_until(url: str, backend: str, seconds: float) -> int:
    """Return how many live slots have leases that end within so many seconds from now."""
    now = time.time()
    return await _count(url, backend, now, now + seconds)


async def _count(url: str, backend: str, since: float, until: float) -> int:
    slots, *_ = Keys(NAMESPACE).of_backend(backend)
    async with _client(url) as client:
        return int(await client.zcount(slots, since * 1000, until * 1000))


async def slots_left(url: str, backend: str, bound_s: float = 12.0) -> list[str]:
    """Wait until no slot is held, as long as a dead process's lease may last; say what is left."""
    until = time.monotonic() + bound_s
    while held := await slots_held(url, backend):
        if time.monotonic() > until:
            return [f"{held} slots of {backend} are held"]
        await asyncio.sleep(0.3)
    return []


async def limits_left(url: str, bound_s: float = 60.0) -> list[str]:
    """Wait until nothing at all is counted, as long as the keeper may need; say what is left."""
    until = time.monotonic() + bound_s
    async with _client(url) as client:
        while left := await counters_left(client, NAMESPACE):
            if time.monotonic() > until:
                return left
            await asyncio.sleep(0.5)
    return []


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()
