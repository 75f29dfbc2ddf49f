"""All consumption of one model in this process: its waiting deliveries and who starts next.

Deliveries of all priorities and lanes wait in one order; slots are reserved for the best of them
first. What a limit lets start later is parked until then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from broker.claims import Early
from broker.lifecycle import Tasks
from broker.ports import (
    Answer,
    Delivery,
    Engine,
    Granted,
    Reservation,
    Served,
    StartAt,
    State,
    TooLate,
    Wait,
    Want,
)
from broker.switchboard import SwitchBoard
from schemas.envelope import Envelope
from schemas.result import Usage
from workers.asked import Asked
from workers.executor import Executor
from workers.holding import Holding
from workers.lines import Lines, Waiting
from workers.parked import LONGEST_S, Parked
from workers.plan import PoolPlan
from workers.settlement import Settlement, requeue_all
from workers.slots import Slots
from workers.throughput import Throughput
from workers.upstreams import Upstreams

# A lost wake-up costs at most this.
_POLL_S = 0.25
_EARLY_S = 0.05
# What waits for a stopped backend beyond a quarter of the window comes back so much later.
_STOPPED_S = 30.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What all pools of a process share."""

    engine: Engine
    executor: Executor
    settlement: Settlement
    slots: Slots
    upstreams: Upstreams
    board: SwitchBoard


class Pool:
    """One model's share of this process. Started once, drained once."""

    def __init__(self, plan: PoolPlan, parts: Parts) -> None:
        self.plan = plan
        self._parts = parts
        self._lines = Lines(plan.without(_drained(plan, parts.board)))
        self._parked = Parked()
        self._asked = Asked()
        self._throughput = Throughput()
        self._being_started = 0
        self._wake = asyncio.Event()
        self._runs = Tasks(f"runs of {plan.model}")
        self._loop = Tasks(f"pool of {plan.model}")
        self._holding = Holding(parts.engine.queue, plan.model, self._deliver, self._hand_back)
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
        return Served(
            self.plan.model,
            sum(self.plan.slots.values()),
            len(self._runs),
            self._unstarted,
            self._throughput.rate,
            dict(self._throughput.heads),
            self._throughput.rates,
            self._throughput.service_s,
        )

    async def stop_consuming(self) -> None:
        """Take nothing new and hand back what has not started."""
        await self._holding.stop()
        self._stopping = True
        self._wake.set()
        await self._loop.join()
        self._ignore(self.plan)
        self._parts.board.forget(self._choose_anew)
        left = [*self._lines.empty(), *self._parked.empty()]
        await requeue_all([waiting.delivery for waiting in left])

    async def finished(self) -> None:
        """Return when every started delivery is settled."""
        await self._runs.join()

    async def stop(self) -> None:
        """Drop what still runs."""
        await self._loop.stop()
        await self._runs.stop()

    @property
    def _unstarted(self) -> int:
        return self._being_started + len(self._lines) + len(self._parked)

    def _watch(self, plan: PoolPlan) -> None:
        for backend in plan.slots:
            self._parts.slots.wake_on_free(backend, self._wake.set)
            self._parts.upstreams[backend].replicas.wake_on_room(self._wake.set)

    def _ignore(self, plan: PoolPlan) -> None:
        for backend in plan.slots:
            self._parts.slots.let_sleep(backend, self._wake.set)
            self._parts.upstreams[backend].replicas.let_sleep(self._wake.set)

    def _choose_anew(self) -> None:
        """Give what waits its targets by the plan and the switches as they are now."""
        plan = self.plan.without(_drained(self.plan, self._parts.board))
        self._hand_back(self._lines.change(plan))
        self._asked.forget()
        self._wake.set()

    def _deliver(self, delivery: Delivery) -> None:
        not_before = delivery.envelope.not_before
        if self._stopping:
            self._hand_back([delivery])
        elif not_before is not None and not_before > time.time() + _EARLY_S:
            self._keep_early(delivery, not_before)
        else:
            self._lines.add(self._lines.seen(delivery))
        self._wake.set()

    def _hand_back(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._runs.spawn("hand back", delivery.requeue())

    async def _start_the_best(self) -> None:
        while not self._stopping:
            self._wake.clear()
            paused = self._parts.board.state("model", self.plan.model) is State.PAUSED
            await self._holding.tend(self._lines, self.plan.rules, paused=paused)
            self._keep_window_open()
            for waiting in self._parked.due(time.time()):
                self._lines.add(waiting)
            if not await self._start_some():
                await self._until_woken()

    async def _until_woken(self) -> None:
        timeouts: list[float] = []
        if self._unstarted or self._holding.has_given_back:
            timeouts.append(self._holding.look_again_s)
        if len(self._lines):
            timeouts.append(_POLL_S)
        if self._parked.next_at is not None:
            timeouts.append(max(0.0, self._parked.next_at - time.time()))
        try:
            async with asyncio.timeout(min(timeouts, default=None)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _start_some(self) -> bool:
        """Start a batch of the best on each backend; tell whether more may start at once."""
        if not self._parts.board.model_runs(self.plan.model):
            return False
        more = [await self._start_on(backend) for backend in tuple(self.plan.slots)]
        return any(more)

    async def _start_on(self, backend: str) -> bool:
        pace, now = self._asked[backend], time.time()
        room = self._parts.upstreams[backend].replicas.room
        if now < pace.closed_until or room <= 0 or not self._runs_on(backend):
            return False
        batch = self._lines.take(backend, min(pace.size, room), now)
        if not batch:
            return False
        left = list(batch)
        self._being_started = len(batch)
        try:
            answers = await self._parts.slots.reserve([self._want(waiting) for waiting in batch])
            left = self._act(backend, batch, answers)
        finally:
            self._being_started = 0
            self._lines.put_back(backend, left)
        granted = sum(isinstance(answer, Granted) for answer in answers)
        pace.answered(granted, all_granted=not left)
        pace.closed_until = _closed_until(answers)
        return not left

    def _act(
        self, backend: str, batch: Sequence[Waiting], answers: Sequence[Answer]
    ) -> list[Waiting]:
        """Start, park and end what the limits say; return what waits on."""
        left: list[Waiting] = []
        gone: list[Waiting] = []
        for waiting, answer in zip(batch, answers, strict=True):
            match answer:
                case Granted(reservation):
                    self._start(waiting, reservation)
                case StartAt(at, what):
                    gone.append(waiting)
                    self._park(waiting, at, what)
                case TooLate(at, what):
                    gone.append(waiting)
                    end = self._parts.settlement.end_too_late(waiting.delivery, at, what)
                    self._runs.spawn("end, too late", end)
                case Wait():
                    left.append(waiting)
        self._lines.leave(backend, gone)
        return left

    def _want(self, waiting: Waiting) -> Want:
        if waiting.want is None:
            waiting.want = self.plan.rules.asking.want(
                waiting.delivery.envelope, waiting.target, waiting.cost, waiting.due
            )
        return waiting.want

    def _start(self, waiting: Waiting, reservation: Reservation) -> None:
        envelope = waiting.delivery.envelope
        self._throughput.started(envelope.priority, envelope.accepted_at, envelope.lane)
        self._holding.started(envelope.priority)
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

    def _ended(
        self, waiting: Waiting, _envelope: Envelope, usage: Usage | None, service_s: float
    ) -> None:
        """Learn what a call has cost and how long it took."""
        if usage is not None:
            self._lines.estimator.observe(usage.output_tokens, service_s)
            self._lines.correct(waiting, usage.total_tokens - waiting.cost)

    def _keep_early(self, delivery: Delivery, at: float) -> None:
        """Hold a message that came before its time, or send it back to a tier."""
        if self._may_hold(at):
            self._parked.add(self._lines.seen(delivery), at)
        else:
            self._runs.spawn("park", self._parts.settlement.park(delivery, Early(at)))

    def _park(self, waiting: Waiting, at: float, what: str) -> None:
        """Let a request wait for its turn at `what`, here or in a tier."""
        if self._may_hold(at):
            self._parked.add(waiting, at)
        else:
            until = self._parts.settlement.park_until(waiting.delivery, at, what)
            self._runs.spawn("park", until)

    def _may_hold(self, at: float) -> bool:
        return at <= time.time() + LONGEST_S and len(self._parked) < self._quarter

    @property
    def _quarter(self) -> int:
        return max(1, self.plan.window // 4)

    def _runs_on(self, backend: str) -> bool:
        return self._parts.board.backend_state(backend) is State.RUNNING

    def _keep_window_open(self) -> None:
        """Let no stopped backend fill the window with what waits for it."""
        for backend in self.plan.slots:
            surplus = self._lines.length(backend) - self._quarter
            if surplus > 0 and not self._runs_on(backend):
                self._send_away(backend, surplus)

    def _send_away(self, backend: str, surplus: int) -> None:
        """Let what waits for a stopped backend come again later."""
        state = self._parts.board.backend_state(backend)
        away = self._lines.take(backend, surplus, time.time())
        self._lines.leave(backend, away)
        self._lines.put_back(backend, ())
        for waiting in away:
            self._park(waiting, time.time() + _STOPPED_S, f"backend {backend}, which is {state}")


def _drained(plan: PoolPlan, board: SwitchBoard) -> list[str]:
    return [each for each in plan.slots if board.backend_state(each) is State.DRAINING]


def _closed_until(answers: Sequence[Answer]) -> float:
    """Return until when a limit that all share lets nothing start; 0 if none does."""
    waits = [answer.until for answer in answers if isinstance(answer, Wait)]
    return max((until for until in waits if until is not None), default=0.0)
