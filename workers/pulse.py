"""The heartbeat of a worker: alive, these slots are still held, are these requests still ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from broker.ports import Engine, Served
from broker.telemetry import RUNNING
from schemas.errors import EngineError
from schemas.lifecycle import TERMINAL
from workers.inflight import InFlightMap

_log = structlog.get_logger("penstock.pulse")
BEAT_S = 2.0


class Pulse:
    """Beats every 2 s; one round is a heartbeat, the slots' renewal and one look at the runs."""

    def __init__(
        self, engine: Engine, inflight: InFlightMap, serves: Callable[[], Sequence[Served]]
    ) -> None:
        self._engine = engine
        self._inflight = inflight
        self._serves = serves

    async def run(self) -> None:
        """Beat until cancelled; a round that fails is logged and the next one tries again."""
        while True:
            try:
                await self.beat()
            except EngineError as error:
                _log.warning("no heartbeat while the engine is away", error=str(error))
            await asyncio.sleep(BEAT_S)

    async def beat(self) -> None:
        """Do one round."""
        RUNNING.set(len(self._inflight))
        await self._engine.members.beat("worker", self._serves())
        await self._engine.limits.renew(self._inflight.reservations())
        await self._drop_ended()

    async def _drop_ended(self) -> None:
        """Abort the calls of requests that were cancelled or ended elsewhere meanwhile."""
        ids = self._inflight.ids()
        if not ids:
            return
        statuses = await self._engine.store.witness(ids)
        for request_id, status in statuses.items():
            if status in TERMINAL:
                self._inflight.abort(request_id)
