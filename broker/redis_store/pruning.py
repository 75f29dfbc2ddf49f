"""Dropping from the lists what Redis has let go: records expire by themselves, entries do not."""

from __future__ import annotations

import time

from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script

# A list also drops what it meets; this is for what nobody reads.
EVERY_S = 600.0
_MOST = 500  # entries that one script looks at


class Pruning:
    """Walks the lists of every partition; one process does so every ten minutes."""

    def __init__(
        self, batcher: Batcher, keys: Keys, retention_s: float, batches_kept_s: float
    ) -> None:
        self._batcher = batcher
        self._keys = keys
        self._retention_s = retention_s
        self._batches_kept_s = batches_kept_s

    async def prune(self) -> None:
        """Prune the partitions whose turn has come."""
        for tag in self._keys.partitions:
            turn = ("SET", self._keys.pruned(tag), "1", "NX", "PX", int(EVERY_S * 1000))
            if await self._batcher.submit(tag, *turn):
                await self._partition(tag)

    async def _partition(self, tag: str) -> None:
        requests, batches = self._keys.record_prefix(tag), self._keys.batch(tag, "")
        for each in await self._batcher.submit(tag, "HKEYS", self._keys.counts(tag)):
            tenant = each.decode()
            listed = self._keys.list_of(tag, tenant)
            await self._list(tag, listed, requests, self._retention_s)
            listed = self._keys.batches_of(tag, tenant)
            await self._list(tag, listed, batches, self._batches_kept_s)
        dead = self._keys.dead_letters(tag)
        await self._list(tag, dead, self._keys.dead_prefix(tag), self._retention_s)

    async def _list(self, tag: str, key: str, prefix: str, kept_s: float) -> None:
        """Walk from the oldest entry to those that are too young to have gone."""
        young_from = repr(time.time() - kept_s)
        rank: int | None = 0
        while rank is not None:
            command = script("prune", [key], prefix, rank, _MOST, young_from)
            rank = await self._batcher.submit(tag, *command)
