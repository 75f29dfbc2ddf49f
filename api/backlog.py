"""What waits, as it was at most a second or two ago: for the caps, and for a request's outlook."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from api.catalog import Catalog
from broker.ports import Engine
from broker.scheduling.outlook import Outlook, outlook
from schemas.config import Config
from schemas.errors import EngineError, RequestError
from schemas.lifecycle import Status
from schemas.priority import PRIORITIES, Priority
from schemas.record import Record

_log = structlog.get_logger("penstock.backlog")
_REFRESH_S = 1.0
_FIRST_LOOK_S = 0.5
# What nobody has asked about for so long is looked at no more.
_FORGET_S = 60.0


@dataclass(slots=True)
class _Seen:
    """Counts as last read, and what this process has added since."""

    depths: dict[Priority, int] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, 0))
    open: int = 0
    added: int = 0
    read: bool = False
    asked_at: float = 0.0


_Look = Callable[[str, _Seen], Coroutine[Any, Any, None]]


class Backlog:
    """The depths of the queues, and the open requests of tenants that have a cap.

    The caps are kept to about what comes in within a second over all api processes.
    """

    def __init__(self, engine: Engine, catalog: Catalog, config: Config) -> None:
        self._engine = engine
        self._catalog = catalog
        self._models: dict[str, _Seen] = {}
        self._tenants: dict[str, _Seen] = {}
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take the caps of `config`."""
        self._cap = config.server.max_queued
        self._tenant_caps = {
            name: tenant.max_queued
            for name, tenant in config.tenants.items()
            if tenant.max_queued is not None
        }

    async def run(self) -> None:
        """Look once a second at everything that was asked about lately, until cancelled."""
        # Apart, so that a queue that does not answer leaves no tenant counted wrongly.
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(self._models, self._look_at_model))
            group.create_task(self._follow(self._tenants, self._look_at_tenant))

    async def admit(self, model: str, tenant: str) -> None:
        """Count one more request. Raises RequestError `queue_full` or `tenant_queue_full`."""
        seen = await self._of_model(model)
        if sum(seen.depths.values()) + seen.added >= self._cap:
            raise RequestError("queue_full", f"{self._cap} requests wait for this model already.")
        if (cap := self._tenant_caps.get(tenant)) is not None:
            of_tenant = await self._of_tenant(tenant)
            if of_tenant.open + of_tenant.added >= cap:
                raise RequestError(
                    "tenant_queue_full", f"{cap} of your requests are open, which is your limit."
                )
            of_tenant.added += 1
        seen.added += 1

    async def outlook(self, record: Record) -> Outlook:
        """Return what a request can expect; nothing to tell unless it is queued."""
        if record.status is not Status.QUEUED:
            return Outlook()
        now = time.time()
        if record.not_before is not None and record.not_before > now:
            wait_s = round(record.not_before - now, 1)
            return Outlook(None, wait_s, f"its time, in {wait_s:g} s")
        seen = await self._of_model(record.model)
        served = self._catalog.served(record.model)
        waiting = {priority: {record.tenant: count} for priority, count in seen.depths.items()}
        return outlook(
            record.priority,
            record.tenant,
            record.accepted_at,
            waiting,
            served,
            lambda _tenant: 1.0,
            now,
        )

    async def _of_model(self, model: str) -> _Seen:
        seen = self._models.setdefault(model, _Seen())
        if not seen.read:
            await _first_look(self._look_at_model(model, seen))
        seen.asked_at = time.monotonic()
        return seen

    async def _of_tenant(self, tenant: str) -> _Seen:
        seen = self._tenants.setdefault(tenant, _Seen())
        if not seen.read:
            await _first_look(self._look_at_tenant(tenant, seen))
        seen.asked_at = time.monotonic()
        return seen

    async def _follow(self, known: dict[str, _Seen], look: _Look) -> None:
        pause_s = _REFRESH_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            for name, seen in list(known.items()):
                if seen.asked_at < began - _FORGET_S:
                    del known[name]
                    continue
                try:
                    await look(name, seen)
                except EngineError as error:
                    _log.info("the backlog is not known", of=name, error=str(error))
            # Many models make a round long; it must not become this process's whole work.
            pause_s = max(_REFRESH_S, 3 * (time.monotonic() - began))

    async def _look_at_model(self, model: str, seen: _Seen) -> None:
        added = seen.added
        for priority in PRIORITIES:
            seen.depths[priority] = await self._engine.queue.depth(model, priority)
        # What was added while this looked may be in the depth already, or not.
        seen.added -= added
        seen.read = True

    async def _look_at_tenant(self, tenant: str, seen: _Seen) -> None:
        added = seen.added
        seen.open = await self._engine.store.open_count(tenant)
        seen.added -= added
        seen.read = True


async def _first_look(look: Coroutine[Any, Any, None]) -> None:
    """Look now, but let nobody wait long for it, or be refused because it failed."""
    with contextlib.suppress(EngineError, TimeoutError):
        async with asyncio.timeout(_FIRST_LOOK_S):
            await look
