"""What the configuration says of batches now, and how many of them a tenant has running."""

from __future__ import annotations

import asyncio
import time

from broker.persistence import persistently
from broker.ports import Engine
from schemas.batches import BatchStatus
from schemas.config import Config
from workers.batches import pacing
from workers.batches.asked import BadLine
from workers.batches.models import Opened

_COUNTED_FOR_S = 2.0
_FEEDING = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS)
# Of one process: a file is read as fast as it can be.
_VALIDATED_AT_ONCE = 2


class OpenedForFeeding:
    """As `Opened`, for lines that were found good: with `models: auto` a model may be away.

    It is waited for then, as any request waits.
    """

    def __init__(self, opened: Opened, config: Config) -> None:
        self._opened = opened
        self._auto = config.models == "auto"
        self._aliases = config.aliases

    def __call__(self, asked: str) -> str:
        """Return the configured model that `asked` stands for. Raises BadLine."""
        try:
            return self._opened(asked)
        except BadLine as error:
            if self._auto and error.mistake.code == "model_not_found":
                return self._aliases.get(asked, asked)
            raise

    def natively(self, model: str) -> bool:
        """Tell whether every backend that can serve `model` serves Responses itself."""
        return self._opened.natively(model)

    async def refresh(self) -> None:
        """Learn anew what is served. Raises EngineError."""
        await self._opened.refresh()


class BatchRules:
    """For all runs of a process; `apply` takes a new configuration."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._counts: dict[str, tuple[float, int]] = {}
        self._counting = asyncio.Lock()
        # How many batches this process runs.
        self.runs = 0
        self.validations = asyncio.Semaphore(_VALIDATED_AT_ONCE)
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take a new configuration."""
        self.config = config
        self._opened: dict[str, Opened] = {}
        self._opens: dict[str, OpenedForFeeding] = {}

    @property
    def window(self) -> int:
        """The most lines of one batch that are fed and not gathered."""
        return self.config.batches.window

    @property
    def part_bytes(self) -> int:
        """How large a part of a file becomes."""
        return pacing.part_bytes(self.runs)

    def opened(self, tenant: str) -> Opened:
        """Return what the keys of a tenant open, for the reading of a new file."""
        if tenant not in self._opened:
            self._opened[tenant] = Opened(self._engine.members, self.config, tenant)
        return self._opened[tenant]

    def opens(self, tenant: str) -> OpenedForFeeding:
        """Return what they open, for lines that were found good."""
        if tenant not in self._opens:
            self._opens[tenant] = OpenedForFeeding(self.opened(tenant), self.config)
        return self._opens[tenant]

    async def refresh(self, tenant: str) -> None:
        """Learn anew what is served."""
        await persistently(lambda: self.opened(tenant).refresh(), "read what is served")

    async def share(self, tenant: str) -> int:
        """Return how many lines each batch of a tenant may have in the queues now."""
        known = self.config.tenants.get(tenant)
        max_queued = known.max_queued if known is not None else None
        return pacing.share(self.window, await self._running(tenant), max_queued)

    async def _running(self, tenant: str) -> int:
        async with self._counting:
            at, count = self._counts.get(tenant, (0.0, 0))
            if count and time.monotonic() - at < _COUNTED_FOR_S:
                return count
            batches = self._engine.batches
            found = await persistently(lambda: batches.running(tenant), "count running batches")
            feeding = sum(each.status in _FEEDING and not each.paused for each in found)
            self._counts[tenant] = time.monotonic(), max(1, feeding)
            return max(1, feeding)
