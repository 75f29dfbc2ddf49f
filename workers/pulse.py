"""The heartbeat of a worker: alive, this is still held, are these requests still ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from broker.ports import Engine, Served
from broker.telemetry import RUNNING
from schemas.errors import EngineError
from schemas.lifecycle import TERMINAL
from workers.inflight import InFlightMap
from workers.slots import Slots

_log = structlog.get_logger("penstock.pulse")
BEAT_S = 2.0
# After a freeze nothing may pass before it is known what was lost.
_RENEW_AGAIN_S = 0.2


class Pulse:
    """Every 2 s a heartbeat and a look at the runs; beside it, the renewal of what is held."""

    def __init__(
        self,
        engine: Engine,
        inflight: InFlightMap,
        slots: Slots,
        serves: Callable[[], Sequence[Served]],
    ) -> None:
        self._engine = engine
        self._inflight = inflight
        self._slots = slots
        self._serves = serves

    async def run(self) -> None:
        """Beat until cancelled; a part that fails is logged and tried again with the next beat."""
        while True:
            RUNNING.set(len(self._inflight))
            # Each for itself: they may live on different servers, and one of those may be away.
            for part in (self.beat, self._drop_ended):
                try:
                    await part()
                except EngineError as error:
                    _log.warning("no heartbeat while the engine is away", error=str(error))
            await asyncio.sleep(BEAT_S)

    async def renew(self) -> None:
        """Assert what is held until cancelled, and end at once the calls of what was lost."""
        while True:
            try:
                lost = await self._slots.renew()
            except EngineError as error:
                _log.warning("nothing is renewed while the engine is away", error=str(error))
                await asyncio.sleep(_RENEW_AGAIN_S)
                continue
            if lost:
                _log.warning(
                    "held too long without a sign of life; drops its calls", lost=len(lost)
                )
                self._inflight.abort_lost(frozenset(lost))
            # One that is just being claimed is in no run yet: it is told again.
            await asyncio.sleep(_RENEW_AGAIN_S if lost else BEAT_S)

    async def beat(self) -> None:
        """Say that this process lives, and what it serves."""
        await self._engine.members.beat("worker", self._serves())

    async def _drop_ended(self) -> None:
        """Abort the calls of requests that were cancelled or ended elsewhere meanwhile."""
        ids = self._inflight.ids()
        if not ids:
            return
        statuses = await self._engine.store.witness(ids)
        for request_id, status in statuses.items():
            if status in TERMINAL:
                self._inflight.abort(request_id)
