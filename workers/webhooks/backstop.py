"""The outbox's reader of webhooks: no end goes untold, whoever made it and whoever died since."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from broker.ports import Engine, OutboxEntry
from schemas.errors import EngineError
from schemas.ids import PARTITIONS
from workers.webhooks.registry import Registry

_log = structlog.get_logger("penstock.webhooks")
_ROUND_S = 0.7
_BATCH = 200

Tell = Callable[[Sequence[str]], Awaitable[None]]


class Backstop:
    """Walks the partitions this process holds; where an end should not wait, at once."""

    def __init__(self, engine: Engine, registry: Registry, tell: Tell) -> None:
        self._engine = engine
        self._registry = registry
        self._tell = tell
        self._hurried: set[int] = set()
        self._wake = asyncio.Event()
        engine.upkeep.on_outbox(self._hurry)

    async def run(self) -> None:
        """Read until cancelled; an entry is passed only when its posts are noted."""
        await self._registry.known()
        while True:
            for partition in range(PARTITIONS):
                await self._read(partition)
            await self._rest()

    async def _rest(self) -> None:
        """Wait for the next round, and meanwhile read the partitions that are in a hurry."""
        ends_at = time.monotonic() + _ROUND_S
        while (left_s := ends_at - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()
            while self._hurried:
                await self._read(self._hurried.pop())

    def _hurry(self, partition: int) -> None:
        self._hurried.add(partition)
        self._wake.set()

    async def _read(self, partition: int) -> None:
        try:
            await self.round(partition)
        except EngineError as error:
            _log.warning("partition is away", partition=partition, error=str(error))

    async def round(self, partition: int) -> None:
        """Tell what has ended in a partition, if its lease is ours."""
        upkeep = self._engine.upkeep
        while await upkeep.hold(partition):
            entries = await upkeep.outbox(partition, _BATCH, "webhooks")
            if not entries:
                return
            wanted = [entry.request_id for _, entry in entries if self._wants(entry)]
            if wanted:
                await self._tell(wanted)
            await upkeep.outbox_done(partition, entries[-1][0], "webhooks")

    def _wants(self, entry: OutboxEntry) -> bool:
        """Tell whether anybody may be told; an entry of an older version does not say of whom."""
        return entry.wants_webhook or entry.tenant is None or bool(self._registry.of(entry.tenant))
