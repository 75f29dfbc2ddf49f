"""A worker process's whole working side: pools, heartbeat, keeper; started once, drained once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from broker.lifecycle import Cancel, Tasks
from broker.ports import Consumer, DeadLetter, Engine
from broker.switchboard import SwitchBoard
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.lifecycle import Status
from workers.answering import Answering
from workers.batches.runners import Runners
from workers.discovery import FIRST_REFRESH_S, REFRESH_S, Discovery
from workers.executor import Executor
from workers.inflight import InFlightMap
from workers.keeper import Keeper
from workers.late_replies import LateReplies
from workers.plan import PoolPlan, configured, still_possible
from workers.pool import Pool
from workers.pools import Pools
from workers.pulse import Pulse
from workers.retired import Retired
from workers.rules import Rules
from workers.settlement import Settlement, ended
from workers.slots import Slots
from workers.starting import Parts
from workers.streaming import Logs
from workers.upstreams import Upstreams
from workers.webhooks.dispatcher import Dispatcher

_log = structlog.get_logger("penstock.worker")


class WorkerService:
    """Serves the configured or discovered models on one engine, which the caller starts."""

    def __init__(self, engine: Engine, config: Config, only: Collection[str] = ()) -> None:
        self._engine = engine
        self._config = config
        self._only = frozenset(only)
        self._rules = Rules(config)
        self._inflight = InFlightMap()
        self._slots = Slots(engine.limits, engine.owner)
        self._answering = Answering(engine, config.server.retention_s)
        self._late_replies = LateReplies(engine, self._answering)
        self._dispatcher = Dispatcher(engine, config.webhooks)
        self._settlement = Settlement(
            engine,
            self._slots,
            self._answering,
            config.server.retention_s,
            self._dispatcher.ended,
        )
        self._upstreams = Upstreams()
        self._executor = Executor(
            engine,
            self._settlement,
            self._slots,
            self._inflight,
            self._upstreams,
            Logs(engine.events, self._answering.chunks),
        )
        self._keeper = Keeper(engine)
        engine.store.on_ended(self._inflight.abort)
        self._board = SwitchBoard(engine.switches)
        parts = Parts(
            engine, self._executor, self._settlement, self._slots, self._upstreams, self._board
        )
        self._pools = Pools(lambda plan: Pool(plan, parts))
        self._pulse = Pulse(engine, self._inflight, self._slots, self._pools.serves)
        self._retired = Retired(engine, self._settlement, config)
        self._runners = Runners(engine, config)
        self._discovery = Discovery()
        self._tasks = Tasks("worker")
        self._changing = asyncio.Lock()
        self._end_discovery: Cancel | None = None
        self._dead: Consumer | None = None

    async def start(self) -> None:
        """Start everything; backends or engine parts that are away are waited for."""
        self._tasks.supervise("switches", self._board.run)
        await self.apply(self._config)
        self._tasks.supervise("pulse", self._pulse.run)
        self._tasks.supervise("renewal", self._pulse.renew)
        self._dead = await self._engine.queue.consume_dead(self._receive_dead)
        self._keeper.start()
        self._dispatcher.start()
        self._late_replies.start()
        self._tasks.supervise("retired", self._retired.run)
        self._runners.start()

    async def apply(self, config: Config) -> None:
        """Serve by `config` from now on: its backends, models and `drain_s`.

        What runs ends on what it began with; what waits is never dropped.
        """
        async with self._changing:
            # It may be about to open pools by the old configuration.
            self._stop_discovery()
            if config != self._config:
                self._config, self._rules = config, Rules(config)
            self._upstreams.apply(config.backends)
            self._dispatcher.apply(config.webhooks)
            self._runners.apply(config)
            await self._retired.apply(config)
            if config.models != "auto":
                self._discovery = Discovery()
            await self._adjust_pools()
            if config.models == "auto":
                self._end_discovery = self._tasks.supervise("discovery", self._discover)

    async def drain(self) -> None:
        """Take nothing new, finish what runs within `drain_s`, hand the rest back, leave."""
        async with self._changing:
            self._stop_discovery()
            await asyncio.gather(
                self._pools.stop_consuming(), self._retired.stop(), self._runners.stop()
            )
        _log.info("drains", running=len(self._inflight))
        finishing = asyncio.ensure_future(self._pools.finished())
        try:
            async with asyncio.timeout(self._config.server.drain_s):
                await asyncio.shield(finishing)
        except TimeoutError:
            await self._hand_back(finishing)
        await self.stop()

    async def stop(self) -> None:
        """End everything at once; what runs is dropped and comes back to another worker."""
        await self._tasks.stop()
        await self._runners.stop()
        await self._retired.stop()
        await self._keeper.stop()
        await self._late_replies.stop()
        await self._dispatcher.stop()
        await self._pools.stop()
        if self._dead is not None:
            await self._dead.stop()
        await self._settlement.stop()
        await self._answering.stop()
        await self._upstreams.close()

    async def _hand_back(self, finishing: asyncio.Future[None]) -> None:
        _log.warning("the grace has ended; hands back", running=len(self._inflight))
        for run in self._inflight:
            run.abort()
        await asyncio.wait({finishing}, timeout=5)

    def _stop_discovery(self) -> None:
        if self._end_discovery is not None:
            self._end_discovery()

    async def _discover(self) -> None:
        while True:
            config = self._config
            await self._discovery.refresh(config, self._upstreams)
            async with self._changing:
                await self._adjust_pools()
            settled = bool(self._pools.plans) or not config.backends
            await asyncio.sleep(REFRESH_S if settled else FIRST_REFRESH_S)

    async def _adjust_pools(self) -> None:
        """Bring the pools to what is to be served."""
        wanted = {
            model: plan
            for model, plan in self._wanted().items()
            if not self._only or model in self._only
        }
        if wanted == self._pools.plans:
            return
        await self._pools.apply(wanted)
        self._tasks.spawn("tell the doors", self._tell())

    async def _tell(self) -> None:
        try:
            await self._pulse.beat()
        except EngineError as error:
            _log.warning("no heartbeat while the engine is away", error=str(error))

    def _wanted(self) -> dict[str, PoolPlan]:
        """Return the plan of each model in the file, or of each that the backends list."""
        config = self._config
        if config.models != "auto":
            return configured(self._rules)
        found = self._discovery.plans(self._rules)
        if self._discovery.complete(config):
            return found
        # A backend that has not answered yet may list what is served until now.
        left = (still_possible(plan, self._rules) for plan in self._pools.plans.values())
        return {**{plan.model: plan for plan in left if plan is not None}, **found}

    async def _receive_dead(self, letter: DeadLetter) -> None:
        """End a request whose message RabbitMQ set aside; file what is not ours (PROTOCOL 5)."""
        if letter.envelope is None:
            await self._engine.upkeep.file_dead_letter(letter)
        else:
            await self._end_dead_lettered(letter.envelope, letter.reason)

    async def _end_dead_lettered(self, envelope: Envelope, reason: str) -> None:
        record = await self._engine.store.get(envelope.id)
        if record is not None and record.terminal:
            await self._answering.found_ended(envelope)
            return
        if record is not None and record.generation > envelope.generation:
            return
        message = f"RabbitMQ set the message aside: {reason}."
        result = ended(Status.FAILED, "dead_lettered", message)
        attempt = record.attempt if record is not None else 0
        await self._settlement.commit(envelope, result, attempt, dead_letter=True)
