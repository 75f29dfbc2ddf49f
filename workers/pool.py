"""All consumption of one model in this process: its waiting deliveries and who starts next.

Deliveries of all priorities and lanes wait in one order; slots are reserved for the best of them
first. What a limit lets start later is parked until then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from broker.lifecycle import Tasks
from broker.ports import Delivery, Reservation, Served, State
from schemas.envelope import Envelope
from schemas.result import Usage
from workers.holding import Holding
from workers.lines import Waiting
from workers.plan import PoolPlan
from workers.settlement import requeue_all
from workers.starting import Parts, Starting
from workers.throughput import Throughput

# A lost wake-up costs at most this.
_POLL_S = 0.25


class Pool:
    """One model's share of this process. Started once, drained once."""

    def __init__(self, plan: PoolPlan, parts: Parts) -> None:
        self.plan = plan
        self._parts = parts
        self._runs = Tasks(f"runs of {plan.model}")
        self._loop = Tasks(f"pool of {plan.model}")
        self._starting = Starting(plan, parts, self._runs, self._begin)
        self._holding = Holding(parts.engine.queue, plan.model, self._deliver, self._hand_back)
        self._throughput = Throughput()
        self._wake = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        """Consume every priority and start what comes."""
        self._watch(self.plan)
        self._parts.board.on_change(self._choose_anew)
        await self._holding.take_all(self.plan.window)
        self._loop.supervise("start the best", self._start_the_best)

    async def apply(self, plan: PoolPlan) -> None:
        """Serve by `plan` from now on; what runs ends as it began.

        What waits is given new targets; what a smaller window does not hold is handed back.
        """
        before, self.plan = self.plan, plan
        self._ignore(before)
        self._watch(plan)
        self._choose_anew()
        if plan.window != before.window:
            await self._holding.renew(plan.window)

    @property
    def serves(self) -> Served:
        """What this process does for the model now."""
        closed_until, closed_by = self._starting.closed
        return Served(
            self.plan.model,
            sum(self.plan.slots.values()),
            self._throughput.running,
            self._starting.unstarted,
            self._throughput.rate,
            dict(self._throughput.heads),
            self._throughput.rates,
            self._throughput.service_s,
            self._throughput.lately,
            self._throughput.densities,
            closed_until=closed_until,
            closed_by=closed_by,
        )

    async def stop_consuming(self) -> None:
        """Take nothing new and hand back what has not started."""
        await self._holding.stop()
        self._stopping = True
        self._wake.set()
        await self._loop.join()
        self._ignore(self.plan)
        self._parts.board.forget(self._choose_anew)
        await requeue_all(self._starting.empty())

    async def finished(self) -> None:
        """Return when every started delivery is settled."""
        await self._runs.join()

    async def stop(self) -> None:
        """Drop what still runs."""
        await self._loop.stop()
        await self._runs.stop()

    def _watch(self, plan: PoolPlan) -> None:
        for backend in plan.slots:
            self._parts.slots.wake_on_free(backend, self._may_start)
            self._parts.upstreams[backend].replicas.on_room(self._may_start)

    def _ignore(self, plan: PoolPlan) -> None:
        for backend in plan.slots:
            self._parts.slots.let_sleep(backend, self._may_start)
            self._parts.upstreams[backend].replicas.let_sleep(self._may_start)

    def _may_start(self) -> None:
        """Wake up if anything waits: a backend may serve thousands of models."""
        if self._starting.unstarted:
            self._wake.set()

    def _choose_anew(self) -> None:
        """The plan or the switches have changed."""
        self._hand_back(self._starting.change(self.plan))
        self._wake.set()

    def _deliver(self, delivery: Delivery) -> None:
        if self._stopping:
            self._hand_back([delivery])
        else:
            self._starting.receive(delivery)
        self._wake.set()

    def _hand_back(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._runs.spawn("hand back", delivery.requeue())

    async def _start_the_best(self) -> None:
        while not self._stopping:
            self._wake.clear()
            paused = self._parts.board.state("model", self.plan.model) is State.PAUSED
            await self._holding.tend(self._starting.lines, self.plan.rules, paused=paused)
            if not await self._starting.start_some():
                await self._until_woken()

    async def _until_woken(self) -> None:
        timeouts: list[float] = []
        if self._starting.unstarted or self._holding.has_given_back:
            timeouts.append(self._holding.look_again_s)
        if len(self._starting.lines):
            timeouts.append(_POLL_S)
        if (turn_at := self._starting.next_turn_at) is not None:
            timeouts.append(max(0.0, turn_at - time.time()))
        try:
            async with asyncio.timeout(min(timeouts, default=None)):
                await self._wake.wait()
        except TimeoutError:
            return

    def _begin(self, waiting: Waiting, reservation: Reservation) -> None:
        envelope = waiting.delivery.envelope
        self._throughput.started(envelope.priority, envelope.accepted_at, envelope.lane)
        self._holding.started(envelope.priority)
        self._parts.upstreams[waiting.target.backend].replicas.expect(reservation.id)
        self._runs.spawn("execute", self._run(waiting, reservation))

    async def _run(self, waiting: Waiting, reservation: Reservation) -> None:
        try:
            await self._parts.executor.execute(
                waiting.delivery,
                reservation,
                waiting.target,
                self.plan.max_attempts,
                partial(self._ended, waiting),
            )
        finally:
            self._throughput.ended()
            if self._starting.ended(waiting.tenant):
                self._wake.set()

    def _ended(
        self, waiting: Waiting, _envelope: Envelope, usage: Usage | None, service_s: float
    ) -> None:
        """Learn what a call has cost and how long it took."""
        lines = self._starting.lines
        if usage is not None:
            lines.estimator.observe(usage.output_tokens, service_s)
            lines.correct(waiting, usage.total_tokens - waiting.cost)
        elif not service_s:
            # No call was made.
            lines.correct(waiting, -waiting.cost)
