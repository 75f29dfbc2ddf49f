"""All of an engine that stands on Redis: everything but the queue."""

from __future__ import annotations

import asyncio

import structlog

from broker.lifecycle import Tasks
from broker.redis_store.batcher import Batcher
from broker.redis_store.batches import RedisBatches
from broker.redis_store.dead_letters import RedisDeadLetters
from broker.redis_store.events import RedisEvents
from broker.redis_store.files import RedisFiles
from broker.redis_store.health import look_at
from broker.redis_store.keys import Keys
from broker.redis_store.layout import keep_told
from broker.redis_store.limits import RedisLimits
from broker.redis_store.members import RedisMembers
from broker.redis_store.pruning import Pruning
from broker.redis_store.records import RedisStore
from broker.redis_store.routes import Routes
from broker.redis_store.switches import RedisSwitches
from broker.redis_store.upkeep import RedisUpkeep
from broker.redis_store.waits import Waits
from broker.redis_store.webhooks import RedisWebhooks
from schemas.errors import StoreUnavailable

_log = structlog.get_logger("penstock.redis")
# How long a batch can be asked for after its end.
BATCHES_KEPT_S = 30 * 86_400.0


class RedisParts:
    """All of one process on one Redis or Redis Cluster but its queue."""

    def __init__(
        self,
        url: str,
        owner: str,
        *,
        namespace: str = "penstock",
        retention_s: float = 86_400,
        batches_kept_s: float = BATCHES_KEPT_S,
    ) -> None:
        self._keys = keys = Keys(namespace)
        self._routes = Routes(url)
        self._batcher = batcher = Batcher(self._routes)
        self._waits = waits = Waits(self._routes, keys.wake + owner, keys.wake_all)
        self._tasks = Tasks("redis")
        self._warnings: list[str] = []
        self.store = store = RedisStore(batcher, keys, owner, retention_s, waits)
        pruning = Pruning(batcher, keys, retention_s, batches_kept_s)
        self.upkeep = RedisUpkeep(batcher, keys, owner, store, pruning, waits)
        self.dead_letters = RedisDeadLetters(batcher, keys, store)
        self.limits = RedisLimits(batcher, keys, owner, waits)
        self.events = RedisEvents(batcher, keys, owner, waits)
        self.members = RedisMembers(batcher, keys, owner)
        self.switches = RedisSwitches(batcher, keys, waits)
        self.webhooks = RedisWebhooks(batcher, keys, owner, waits)
        self.batches = RedisBatches(batcher, keys, owner, batches_kept_s, waits)
        self.files = RedisFiles(batcher, keys)

    async def start(self) -> None:
        """Begin to listen. A Redis that is away is no failure: each call connects by itself."""
        if not len(self._tasks):
            self._tasks.supervise("listen", self._waits.listen)
            self._tasks.supervise("layout", lambda: keep_told(self._batcher, self._keys))
            if trouble := await self.health():
                _log.warning(trouble)

    async def stop(self) -> None:
        """Close every connection."""
        await self._tasks.stop()
        await self._batcher.close()

    async def health(self) -> str | None:
        """Return None when every server answers, else a sentence; renews `warnings`."""
        try:
            if not self._routes.nodes:
                await self._routes.find()
            reports = await asyncio.gather(*(look_at(node) for node in self._routes.nodes))
        except StoreUnavailable as error:
            return str(error)
        found = [warning for report in reports for warning in report]
        for warning in found:
            if warning not in self._warnings:
                _log.warning(warning)
        self._warnings = found
        return None

    def warnings(self) -> list[str]:
        """Return what `health` last found that can lose requests."""
        return list(self._warnings)
