"""All consumption of one model in this process: its waiting deliveries and who starts next.

Deliveries of all priorities wait in one order; slots are reserved for the best of them first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from broker.claims import Early
from broker.lifecycle import Tasks
from broker.ports import Consumer, Delivery, Engine, Reservation, Served
from schemas.priority import PRIORITIES
from workers.executor import Executor
from workers.lines import Lines, Waiting
from workers.plan import PoolPlan
from workers.settlement import Settlement, requeue_all
from workers.slots import Slots
from workers.throughput import Throughput

_log = structlog.get_logger("penstock.pool")
_BATCH = 32
# A lost wake-up costs at most this.
_POLL_S = 0.25


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
        self._lines = Lines(plan)
        self._throughput = Throughput()
        self._being_started = 0
        self._wake = asyncio.Event()
        self._consumers: list[Consumer] = []
        self._runs = Tasks(f"runs of {plan.model}")
        self._loop = Tasks(f"pool of {plan.model}")
        self._stopping = False

    async def start(self) -> None:
        """Consume every priority and start what comes."""
        self._watch_slots()
        await self._consume()
        self._loop.supervise("start the best", self._start_the_best)

    async def apply(self, plan: PoolPlan) -> None:
        """Serve by `plan` from now on; what runs ends as it began.

        What waits is given new targets; what a smaller window does not hold is handed back.
        """
        before, self.plan = self.plan, plan
        for delivery in self._lines.change(plan):
            self._runs.spawn("hand back", delivery.requeue())
        self._ignore_slots(before)
        self._watch_slots()
        self._wake.set()
        if plan.window != before.window:
            await self._consume_anew()

    @property
    def serves(self) -> Served:
        """What this process does for the model now."""
        slots = sum(self.plan.slots.values())
        return Served(
            self.plan.model,
            slots,
            len(self._runs),
            self._unstarted,
            self._throughput.rate,
            dict(self._throughput.heads),
            self._throughput.rates,
            self._throughput.service_s,
            self._throughput.lately,
        )

    async def stop_consuming(self) -> None:
        """Take nothing new and hand back what has not started."""
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        self._stopping = True
        self._wake.set()
        await self._loop.join()
        self._ignore_slots(self.plan)
        await requeue_all(self._lines.empty())

    async def finished(self) -> None:
        """Return when every started delivery is settled."""
        await self._runs.join()

    async def stop(self) -> None:
        """Drop what still runs."""
        await self._loop.stop()
        await self._runs.stop()

    @property
    def _unstarted(self) -> int:
        return self._being_started + len(self._lines)

    async def _consume(self) -> None:
        for priority in PRIORITIES:
            self._consumers.append(
                await self._engine.queue.consume(
                    self.plan.model, priority, self.plan.window, self._deliver
                )
            )

    async def _consume_anew(self) -> None:
        """Consume with the window of the plan; the new consumers begin before the old ones end."""
        old = list(self._consumers)
        await self._consume()
        await asyncio.gather(*(consumer.stop() for consumer in old))
        del self._consumers[: len(old)]

    def _watch_slots(self) -> None:
        for backend in self.plan.slots:
            self._slots.wake_on_free(backend, self._wake.set)

    def _ignore_slots(self, plan: PoolPlan) -> None:
        for backend in plan.slots:
            self._slots.let_sleep(backend, self._wake.set)

    def _deliver(self, delivery: Delivery) -> None:
        if self._stopping:
            self._runs.spawn("hand back", delivery.requeue())
            return
        self._lines.add(delivery)
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
        for backend in tuple(self.plan.slots):
            batch = self._without_early(self._lines.take(backend, _BATCH, time.time()))
            self._being_started = len(batch)
            try:
                left = await self._start_on(backend, batch)
            except BaseException:
                left = batch
                raise
            finally:
                self._being_started = 0
                self._lines.put_back(backend, left)
            short = short or bool(left)
        return short

    def _without_early(self, batch: Sequence[Waiting]) -> list[Waiting]:
        """Send back to a tier what came before its time, so that it costs no slot."""
        ready: list[Waiting] = []
        for waiting in batch:
            not_before = waiting.delivery.envelope.not_before
            if not_before is not None and not_before > time.time() + 0.05:
                early = self._settlement.park(waiting.delivery, Early(not_before))
                self._runs.spawn("park", early)
            else:
                ready.append(waiting)
        return ready

    async def _start_on(self, backend: str, batch: list[Waiting]) -> list[Waiting]:
        """Reserve slots for the first of `batch` and start those; return the rest."""
        if not batch:
            return []
        granted = await self._slots.reserve(backend, self.plan.slots[backend], len(batch))
        for waiting, reservation in zip(batch, granted, strict=False):
            self._start(waiting, reservation)
        return batch[len(granted) :]

    def _start(self, waiting: Waiting, reservation: Reservation) -> None:
        envelope = waiting.delivery.envelope
        self._throughput.started(envelope.priority, envelope.accepted_at, envelope.lane)
        self._runs.spawn("execute", self._run(waiting, reservation))

    async def _run(self, waiting: Waiting, reservation: Reservation) -> None:
        try:
            await self._executor.execute(
                waiting.delivery, reservation, waiting.target, self.plan.max_attempts
            )
        finally:
            self._throughput.ended()
