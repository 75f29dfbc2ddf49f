"""How many slots of a backend Redis holds, read past Penstock's own code for it."""

from __future__ import annotations

import asyncio
import time

import redis.asyncio

from broker.redis_store.keys import Keys
from schemas.config import ServerConfig

NAMESPACE = ServerConfig().namespace


async def slots_held(url: str, backend: str) -> int:
    """Return the number of slots whose lease has not ended; ended ones bind nobody."""
    slots, *_ = Keys(NAMESPACE).of_backend(backend)
    client = redis.asyncio.Redis.from_url(url)
    try:
        return int(await client.zcount(slots, time.time() * 1000, "+inf"))
    finally:
        await client.aclose()


async def slots_left(url: str, backend: str, bound_s: float = 12.0) -> list[str]:
    """Wait until no slot is held, as long as a dead process's lease may last; say what is left."""
    until = time.monotonic() + bound_s
    while held := await slots_held(url, backend):
        if time.monotonic() > until:
            return [f"{held} slots of {backend} are held"]
        await asyncio.sleep(0.3)
    return []
