"""All consumption of one model in this process: its waiting deliveries and who starts next.

Deliveries of all priorities wait in one order; slots are reserved for the best of them first.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from broker.claims import Early
from broker.lifecycle import Tasks
from broker.ports import Consumer, Delivery, Engine, Reservation, Served
from broker.scheduling.order import Order
from schemas.priority import PRIORITIES, Priority
from workers.executor import Executor
from workers.routing.targets import Target, choose_target
from workers.settlement import Settlement, requeue_all
from workers.slots import Slots

_log = structlog.get_logger("penstock.pool")
_BATCH = 32
# A lost wake-up costs at most this.
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a pool serves: a model, its targets, and each backend's slots."""

    model: str
    targets: tuple[Target, ...]
    slots: dict[str, int]
    max_attempts: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Delivery
    target: Target

    @property
    def priority(self) -> Priority:
        return self.delivery.envelope.priority

    @property
    def accepted_at(self) -> float:
        return self.delivery.envelope.accepted_at


class Pool:
    """One model's share of this process. Started once, drained once."""

    def __init__(
        self,
        plan: PoolPlan,
        engine: Engine,
        executor: Executor,
        settlement: Settlement,
        slots: Slots,
    ) -> None:
        self.plan = plan
        self._engine = engine
        self._executor = executor
        self._settlement = settlement
        self._slots = slots
        # A line for each backend: a full one must not hide those with free slots.
        self._lines: dict[str, Order[_Waiting]] = {name: Order() for name in plan.slots}
        self._being_started = 0
        self._wake = asyncio.Event()
        self._consumers: list[Consumer] = []
        self._runs = Tasks(f"runs of {plan.model}")
        self._loop = Tasks(f"pool of {plan.model}")
        self._stopping = False
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Consume every priority; a window holds what the slots can start, and one more."""
        for backend in self.plan.slots:
            self._engine.limits.on_free(backend, self._wake.set)
        prefetch = sum(self.plan.slots.values()) + 1
        for priority in PRIORITIES:
            self._consumers.append(
                await self._engine.queue.consume(self.plan.model, priority, prefetch, self._deliver)
            )
        self._loop.supervise("start the best", self._start_the_best)

    @property
    def serves(self) -> Served:
        """What this process does for the model now."""
        slots = sum(self.plan.slots.values())
        return Served(self.plan.model, slots, len(self._runs), self._unstarted)

    async def stop_consuming(self) -> None:
        """Take nothing new and hand back what has not started."""
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        self._stopping = True
        self._wake.set()
        await self._loop.join()
        for line in self._lines.values():
            await requeue_all(waiting.delivery for waiting in line.empty())

    async def finished(self) -> None:
        """Return when every started delivery is settled."""
        await self._runs.join()

    async def stop(self) -> None:
        """Drop what still runs."""
        await self._loop.stop()
        await self._runs.stop()

    @property
    def _unstarted(self) -> int:
        return self._being_started + sum(map(len, self._lines.values()))

    def _deliver(self, delivery: Delivery) -> None:
        if self._stopping:
            self._runs.spawn("hand back", delivery.requeue())
            return
        target = choose_target(self.plan.targets, delivery.envelope.id)
        self._lines[target.backend].add(_Waiting(delivery, target))
        self._wake.set()

    async def _start_the_best(self) -> None:
        while not self._stopping:
            if not self._unstarted:
                await self._wake.wait()
            self._wake.clear()
            if await self._start_some():
                await self._until_woken()

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _start_some(self) -> bool:
        """Start a batch of the best on each backend; tell whether one had no slot for all."""
        short = False
        for backend, line in self._lines.items():
            batch = self._without_early(line.take(_BATCH))
            self._being_started = len(batch)
            try:
                left = await self._start_on(backend, batch)
            except BaseException:
                left = batch
                raise
            finally:
                self._being_started = 0
                for waiting in left:
                    line.add(waiting)
            short = short or bool(left)
        return short

    def _without_early(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Send back to a tier what came before its time, so that it costs no slot."""
        ready: list[_Waiting] = []
        for waiting in batch:
            not_before = waiting.delivery.envelope.not_before
            if not_before is not None and not_before > time.time() + 0.05:
                early = self._settlement.park(waiting.delivery, Early(not_before))
                self._runs.spawn("park", early)
            else:
                ready.append(waiting)
        return ready

    async def _start_on(self, backend: str, batch: list[_Waiting]) -> list[_Waiting]:
        """Reserve slots for the first of `batch` and start those; return the rest."""
        if not batch:
            return []
        ids = [f"{self._engine.owner}:{self.plan.model}:{next(self._numbers)}" for _ in batch]
        granted = await self._slots.reserve(backend, self.plan.slots[backend], ids)
        for waiting, reservation in zip(batch, granted, strict=False):
            self._start(waiting, reservation)
        return batch[len(granted) :]

    def _start(self, waiting: _Waiting, reservation: Reservation) -> None:
        run = self._executor.execute(
            waiting.delivery, reservation, waiting.target, self.plan.max_attempts
        )
        self._runs.spawn("execute", run)
