"""Makes time pass for limits and leases in Redis: every instant that is stored there moves back.

`client` is a redis.asyncio.Redis, whose own types know no bytes.
"""

from __future__ import annotations

from typing import Any

import msgpack

from broker.redis_store.keys import Keys

_IN_MS = ("slots:", "granted:")


async def age_limits(client: Any, namespace: str, seconds: float) -> None:
    """Make all that is stored look as though it had been written so much earlier.

    All but the pulses: somebody was there all the time.
    """
    prefix = Keys(namespace).limits_prefix()
    async for found in client.scan_iter(match=f"{prefix}*".encode(), count=1_000):
        name: str = found.decode().removeprefix(prefix)
        if name.startswith(_IN_MS):
            await _shift(client, found, seconds * 1000)
        elif name == "lapses" or (name.startswith("turns:") and ":parallel:" in name):
            await _shift(client, found, seconds)
        elif name.startswith("live:"):
            left_ms = await client.pttl(found)
            await client.pexpire(found, max(1, left_ms - int(seconds * 1000)))
        elif name.startswith("rate:"):
            await _age_bucket(client, found, seconds)
        elif name in ("booked", "reserved"):
            await _age_packed(client, found, seconds)


async def age_leases(client: Any, namespace: str, seconds: float) -> None:
    """Let every key that expires do so as much earlier; `client` may also be a RedisCluster."""
    async for key in client.scan_iter(match=f"*{namespace}*", count=1_000):
        left_ms = await client.pttl(key)
        if left_ms > seconds * 1000:
            await client.pexpire(key, int(left_ms - seconds * 1000))
        elif left_ms >= 0:
            await client.delete(key)


async def _shift(client: Any, key: bytes, by: float) -> None:
    for member, score in await client.zrange(key, 0, -1, withscores=True):
        await client.zadd(key, {member: score - by})


async def _age_bucket(client: Any, key: bytes, seconds: float) -> None:
    full_at, lows = await client.hmget(key, "full_at", "lows")
    if full_at is None:
        return  # it has just expired
    aged = [[at - seconds, debt] for at, debt in msgpack.unpackb(lows)]
    changes: dict[str, Any] = {
        "full_at": repr(float(full_at) - seconds),
        "lows": msgpack.packb(aged),
    }
    await client.hset(key, mapping=changes)


async def _age_packed(client: Any, key: bytes, seconds: float) -> None:
    for field, packed in (await client.hgetall(key)).items():
        kept = msgpack.unpackb(packed)
        kept["at"] -= seconds
        await client.hset(key, field, msgpack.packb(kept))
