"""Telling who reads records straight from Redis how they are laid out.

docs/guide/redis-polling.md is the contract. What is only added leaves `VERSION` as it is; a reader
passes over what it does not know.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from schemas.errors import StoreUnavailable

VERSION = 1
# Told again and again: a Redis may have lost it, or be another one by now.
_TELL_S = 30.0


async def keep_told(batcher: Batcher, keys: Keys) -> None:
    """Write the version until cancelled."""
    while True:
        with suppress(StoreUnavailable):
            await batcher.submit(keys.layout, "SET", keys.layout_version(), VERSION)
        await asyncio.sleep(_TELL_S)
