"""What Redis still holds of backend slots, read without Penstock."""

from __future__ import annotations

import asyncio
import time

import redis.asyncio


async def slots_held(url: str, bound_s: float = 12.0) -> list[str]:
    """Wait until no slot set has a member; return those that still have. Leases last 8 s."""
    until = time.monotonic() + bound_s
    client = redis.asyncio.Redis.from_url(url)
    try:
        while True:
            keys = client.scan_iter(match="*{limits}*", count=500, _type="zset")
            sets = {key.decode(): await client.zcard(key) async for key in keys if b"slot" in key}
            held = [f"{key} holds {count}" for key, count in sets.items() if count]
            if not held or time.monotonic() > until:
                return held
            await asyncio.sleep(0.3)
    finally:
        await client.aclose()
