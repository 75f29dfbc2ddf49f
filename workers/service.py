"""A worker process's whole working side: pools, heartbeat, keeper; started once, drained once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import structlog

from broker.lifecycle import Tasks
from broker.ports import Consumer, DeadLetter, Engine, Served
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from workers.backends.openai import OpenAIBackend, Session, open_session
from workers.discovery import FIRST_REFRESH_S, REFRESH_S, configured, discovered
from workers.executor import Executor, Upstream
from workers.inflight import InFlightMap
from workers.keeper import Keeper
from workers.pool import Pool, PoolPlan
from workers.pulse import Pulse
from workers.routing.replicas import Replicas
from workers.settlement import Settlement, ended
from workers.slots import Slots

_log = structlog.get_logger("penstock.worker")


class WorkerService:
    """Serves the configured or discovered models on one engine, which the caller starts."""

    def __init__(self, engine: Engine, config: Config, only: Collection[str] = ()) -> None:
        self._engine = engine
        self._config = config
        self._only = frozenset(only)
        self._inflight = InFlightMap()
        self._slots = Slots(engine.limits)
        self._settlement = Settlement(engine, self._slots)
        self._keeper = Keeper(engine)
        engine.store.on_ended(self._inflight.abort)
        self._pulse = Pulse(engine, self._inflight, self._slots, self.serves)
        self._pools: dict[str, Pool] = {}
        self._tasks = Tasks("worker")
        self._discovery = Tasks("discovery")
        self._session: Session | None = None
        self._dead: Consumer | None = None

    def serves(self) -> list[Served]:
        """Return what this process serves now, for the heartbeat."""
        return [pool.serves for pool in self._pools.values()]

    async def start(self) -> None:
        """Start everything; backends or engine parts that are away are waited for."""
        self._session = open_session()
        upstreams = _upstreams(self._config, self._session)
        executor = Executor(self._engine, self._settlement, self._slots, self._inflight, upstreams)
        for plan in configured(self._config).values():
            await self._add_pool(plan, executor)
        self._tasks.supervise("pulse", self._pulse.run)
        self._dead = await self._engine.queue.consume_dead(self._receive_dead)
        self._keeper.start()
        if self._config.models == "auto":
            self._discovery.supervise("models", lambda: self._discover(upstreams, executor))

    async def drain(self) -> None:
        """Take nothing new, finish what runs within `drain_s`, hand the rest back, leave."""
        await self._discovery.stop()
        pools = list(self._pools.values())
        await asyncio.gather(*(pool.stop_consuming() for pool in pools))
        _log.info("drains", running=len(self._inflight))
        finishing = asyncio.gather(*(pool.finished() for pool in pools))
        try:
            async with asyncio.timeout(self._config.server.drain_s):
                await asyncio.shield(finishing)
        except TimeoutError:
            await self._hand_back(finishing)
        await self.stop()

    async def stop(self) -> None:
        """End everything at once; what runs is dropped and comes back to another worker."""
        await self._discovery.stop()
        await self._tasks.stop()
        await self._keeper.stop()
        for pool in self._pools.values():
            await pool.stop()
        if self._dead is not None:
            await self._dead.stop()
        if self._session is not None:
            await self._session.close()

    async def _hand_back(self, finishing: asyncio.Future[list[None]]) -> None:
        _log.warning("the grace has ended; hands back", running=len(self._inflight))
        for run in self._inflight:
            run.abort()
        await asyncio.wait({finishing}, timeout=5)

    async def _discover(self, upstreams: Mapping[str, Upstream], executor: Executor) -> None:
        while True:
            found = await discovered(self._config, upstreams)
            for plan in found.values():
                await self._add_pool(plan, executor)
            if found:
                await self._pulse.beat()
            complete = bool(found) or not upstreams
            await asyncio.sleep(REFRESH_S if complete else FIRST_REFRESH_S)

    async def _add_pool(self, plan: PoolPlan, executor: Executor) -> None:
        if plan.model in self._pools or (self._only and plan.model not in self._only):
            return
        pool = Pool(plan, self._engine, executor, self._settlement, self._slots)
        await pool.start()
        self._pools[plan.model] = pool
        _log.info("serves", model=plan.model, slots=pool.serves.slots)

    async def _receive_dead(self, letter: DeadLetter) -> None:
        """End a request whose message RabbitMQ set aside; file what is not ours (PROTOCOL 5)."""
        if letter.envelope is None:
            await self._engine.upkeep.file_dead_letter(letter)
        else:
            await self._end_dead_lettered(letter.envelope, letter.reason)

    async def _end_dead_lettered(self, envelope: Envelope, reason: str) -> None:
        record = await self._engine.store.get(envelope.id)
        if record is not None and (record.terminal or record.generation > envelope.generation):
            return
        message = f"RabbitMQ set the message aside: {reason}."
        result = ended(Status.FAILED, "dead_lettered", message)
        attempt = record.attempt if record is not None else 0
        await self._settlement.commit(envelope, result, attempt, dead_letter=True)


def _upstreams(config: Config, session: Session) -> dict[str, Upstream]:
    return {
        name: Upstream(
            name, OpenAIBackend(backend, session), Replicas(backend.urls), backend.timeout_s
        )
        for name, backend in config.backends.items()
    }
