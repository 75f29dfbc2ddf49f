"""Makes time pass for the limits in Redis: every instant that is stored there moves back.

`client` is a redis.asyncio.Redis, whose own types know no bytes.
"""

from __future__ import annotations

import time
from typing import Any

import msgpack

from broker.redis_store.keys import Keys

_IN_MS = ("slots:", "granted:")
_NO_COUNTS = ("pulse:", "hold:", "wanted:", "granted:", "paused:")


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
        elif name.startswith("rate:"):
            await _age_bucket(client, found, seconds)
        elif name in ("booked", "reserved"):
            await _age_packed(client, found, seconds)


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


async def counters_left(client: Any, namespace: str) -> list[str]:
    """Return the keys under which something is still counted: what a rest must not leave.

    A pulse and a mean count nothing, who waits is no count, a grant lapses by itself, and so does a
    bucket that is full.
    """
    prefix = Keys(namespace).limits_prefix()
    names = [found.decode() async for found in client.scan_iter(match=f"{prefix}*", count=1_000)]
    counts = [name.removeprefix(prefix) for name in names]
    left = [name for name in counts if not name.startswith(_NO_COUNTS)]
    return [
        name
        for name in left
        if not name.startswith("rate:") or await _is_in_use(client, prefix + name)
    ]


async def _is_in_use(client: Any, bucket: str) -> bool:
    full_at, *booked = await client.hmget(bucket, "full_at", "b0", "b1", "b2", "b3")
    return float(full_at or 0) > time.time() or any(float(each or 0) for each in booked)
