"""Models that were taken out of the configuration: what still waits for them ends.

Nobody else would ever move it. It ends `failed (model_removed)` and stays a dead letter, so that it
can be redriven once the model is served again. A model counts as removed when this process has no
route for its name and no living process serves it, at two looks in a row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from itertools import product

import structlog

from broker.lifecycle import Tasks
from broker.ports import Consumer, Delivery, Engine
from schemas.config import Config
from schemas.errors import EngineError
from schemas.lifecycle import Status
from schemas.priority import PRIORITIES, Lane
from schemas.routes import Routes
from workers.settlement import Settlement, ended

_log = structlog.get_logger("penstock.retired")
# A configuration reaches all processes within this time: a new model may be waited for before its
# workers know of it.
LOOK_EVERY_S = 30.0
# While something is being ended: who has begun to serve it again?
_LOOK_CLOSELY_S = 2.0
_AT_ONCE = 8
_PREFETCH = 32
# The engine may be away when it is told to stop.
_GRACE_S = 2.0


class Retired:
    """Looks for removed models and empties their queues."""

    def __init__(self, engine: Engine, settlement: Settlement, config: Config) -> None:
        self._engine = engine
        self._settlement = settlement
        self._routes = _routes(config)
        self._removed_since: dict[str, float] = {}
        self._emptying: dict[str, _Emptying] = {}
        self._changing = asyncio.Lock()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look every 30 s, and at once after a new configuration, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._look()
            except EngineError as error:
                # Two looks in a row must both have seen it.
                self._removed_since.clear()
                _log.warning("no look for removed models", error=str(error))
            try:
                async with asyncio.timeout(_LOOK_CLOSELY_S if self._emptying else LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def apply(self, config: Config) -> None:
        """Take a new configuration; nothing more ends of a model that it brings back."""
        self._routes = _routes(config)
        async with self._changing:
            await self._stop(model for model in self._emptying if not self._is_unrouted(model))
        self._wake.set()

    async def stop(self) -> None:
        """Consume nothing more, and settle what is in hand."""
        async with self._changing:
            await self._stop(self._emptying)

    async def _look(self) -> None:
        waiting = await self._engine.store.waiting_models()
        served = {each.model for each in await self._engine.members.served()}
        async with self._changing:
            removed = [m for m in waiting if m not in served and self._is_unrouted(m)]
            await self._stop(model for model in self._emptying if model not in removed)
            now = time.monotonic()
            self._removed_since = {m: self._removed_since.get(m, now) for m in removed}
            for model, since in self._removed_since.items():
                room = len(self._emptying) < _AT_ONCE
                if room and model not in self._emptying and now - since >= LOOK_EVERY_S:
                    await self._empty(model)

    def _is_unrouted(self, model: str) -> bool:
        """Tell whether the configuration knows the name neither by itself nor by a pattern."""
        return self._routes is not None and self._routes.resolve(model) is None

    async def _empty(self, model: str) -> None:
        _log.warning("is served by nobody any more; ends what waits for it", model=model)
        emptying = self._emptying[model] = _Emptying(model, self._engine, self._settlement)
        await emptying.start()

    async def _stop(self, models: Iterable[str]) -> None:
        for model in tuple(models):
            await self._emptying.pop(model).stop()


class _Emptying:
    """The consumption of one removed model: each of its requests ends."""

    def __init__(self, model: str, engine: Engine, settlement: Settlement) -> None:
        self._model = model
        self._engine = engine
        self._settlement = settlement
        self._consumers: list[Consumer] = []
        self._tasks = Tasks(f"end of {model}")
        self._over = False

    async def start(self) -> None:
        """Consume every queue of the model."""
        queue = self._engine.queue
        for priority, lane in product(PRIORITIES, Lane):
            self._consumers.append(
                await queue.consume(self._model, priority, lane, _PREFETCH, self._deliver)
            )

    async def stop(self) -> None:
        """Hand back what has not ended yet."""
        self._over = True
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        await self._tasks.stop(_GRACE_S)

    def _deliver(self, delivery: Delivery) -> None:
        self._tasks.spawn("end", self._settle(delivery))

    async def _settle(self, delivery: Delivery) -> None:
        try:
            await self._end(delivery)
        except BaseException:
            await delivery.requeue()
            raise

    async def _end(self, delivery: Delivery) -> None:
        """Commit, then ack (I1); what another process runs is put back."""
        attempt = await self._settlement.attempt_of_waiting(delivery)
        if attempt is None:
            return
        if self._over:
            await delivery.requeue()
            return
        result = ended(Status.FAILED, "model_removed")
        await self._settlement.end(delivery, result, attempt, dead_letter=True)


def _routes(config: Config) -> Routes | None:
    """Return the routes of a configuration; None where it names no models."""
    return None if config.models == "auto" else Routes(config.models, config.aliases)
