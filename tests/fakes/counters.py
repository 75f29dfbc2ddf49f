"""What Redis still counts of limits once all is over, read past Penstock's own code for it."""

from __future__ import annotations

import time
from typing import Any

from broker.redis_store.keys import Keys

_NO_COUNTS = ("pulse:", "live:", "hold:", "wanted:", "granted:", "paused:")


async def counters_left(client: Any, namespace: str) -> list[str]:
    """Return the keys under which something is still counted: what a rest must not leave.

    A pulse, a mark and a mean count nothing, who waits is no count, a grant lapses by itself, and
    so does a bucket that is full.
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
