"""Counting anew what is queued: the steps of an older version's worker count nothing."""

from __future__ import annotations

from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script

EVERY_S = 60.0
# So many are counted in some 5 ms, for which Redis does nothing else. Where more are open, what a
# worker of an older version has left stays counted until the backlog is shorter.
_MOST = 1_000


class Recounting:
    """Counts every partition; one process does so every minute."""

    def __init__(self, batcher: Batcher, keys: Keys) -> None:
        self._batcher = batcher
        self._keys = keys

    async def recount(self) -> None:
        """Count the partitions whose turn has come."""
        for tag in self._keys.partitions:
            turn = ("SET", self._keys.recounted(tag), "1", "NX", "PX", int(EVERY_S * 1000))
            if await self._batcher.submit(tag, *turn):
                keys = [self._keys.open(tag), self._keys.waiting_models(tag)]
                command = script("recount", keys, self._keys.record_prefix(tag), _MOST)
                await self._batcher.submit(tag, *command)
