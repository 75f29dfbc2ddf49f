"""Who of a pool's waiting deliveries starts now, who is parked, who is ended (PROTOCOL 3, reserve).

The best of each line ask the limits together; what each is answered is carried out here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from broker.claims import Early
from broker.lifecycle import Tasks
from broker.ports import (
    Answer,
    Delivery,
    Engine,
    Granted,
    Reservation,
    StartAt,
    State,
    TooLate,
    Wait,
    Want,
)
from broker.scheduling.asking import FoundOut
from broker.switchboard import SwitchBoard
from schemas.priority import RANK, Priority
from workers.asked import Asked
from workers.executor import Executor
from workers.lines import Lines, Waiting
from workers.parked import LONGEST_S, Parked
from workers.plan import PoolPlan
from workers.settlement import Settlement
from workers.slots import Slots
from workers.upstreams import Upstreams

_EARLY_S = 0.05
_ASK_AGAIN_S = 0.02
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


class Starting:
    """The waiting deliveries of a pool; `begin` runs one whose slot is reserved."""

    def __init__(
        self,
        plan: PoolPlan,
        parts: Parts,
        runs: Tasks,
        begin: Callable[[Waiting, Reservation], None],
    ) -> None:
        self._plan = plan
        self._parts = parts
        self._runs = runs
        self._begin = begin
        self._parked = Parked()
        self._asked = Asked()
        self._being_started = 0
        self.lines = Lines(self._reachable())

    @property
    def unstarted(self) -> int:
        """How many deliveries have not begun."""
        return self._being_started + len(self.lines) + len(self._parked)

    @property
    def next_turn_at(self) -> float | None:
        """When the first of those parked here may start, in Unix seconds."""
        return self._parked.next_at

    @property
    def closed(self) -> tuple[float, str]:
        """Until when a limit lets nothing start on any backend, and which; 0 if something may."""
        paces = [self._asked[backend] for backend in self._plan.slots]
        return min(((pace.closed_until, pace.closed_by) for pace in paces), default=(0.0, ""))

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery in; one that came before its time costs no slot."""
        not_before = delivery.envelope.not_before
        if not_before is None or not_before <= time.time() + _EARLY_S:
            self._add(self.lines.seen(delivery))
        elif self._may_hold(not_before):
            self._parked.add(self.lines.seen(delivery), not_before)
        else:
            self._runs.spawn("park", self._parts.settlement.park(delivery, Early(not_before)))

    def change(self, plan: PoolPlan) -> list[Delivery]:
        """Give what waits its targets by `plan` and the switches as they are now.

        What the window does not hold any more is returned.
        """
        self._plan = plan
        self._asked.forget()
        return self.lines.change(self._reachable())

    def ended(self, tenant: str) -> bool:
        """A request of `tenant` has ended: what it held may be what the next one waits for.

        How long it would hold it was an estimate, so that one may ask before its time. Tell whether
        there is one.
        """
        waiting = self._parked.first_of(tenant)
        if waiting is not None:
            self._bring_back(waiting)
        return waiting is not None

    async def start_some(self) -> bool:
        """Start a batch of the best on each backend; tell whether more may start at once."""
        for waiting in self._parked.due(time.time()):
            self._bring_back(waiting)
        self._keep_window_open()
        if not self._parts.board.model_runs(self._plan.model):
            return False
        more = [await self._start_on(backend) for backend in tuple(self._plan.slots)]
        return any(more)

    def empty(self) -> list[Delivery]:
        """Remove and return all that has not begun."""
        return [waiting.delivery for waiting in (*self.lines.empty(), *self._parked.empty())]

    def _add(self, waiting: Waiting) -> None:
        self.lines.add(waiting)
        self._asked[waiting.target.backend].came(RANK[waiting.priority])

    async def _start_on(self, backend: str) -> bool:
        pace, now = self._asked[backend], time.time()
        room = self._parts.upstreams[backend].replicas.room
        if now < pace.closed_until or room <= 0 or not self._runs_on(backend):
            return False
        batch = self.lines.take(backend, min(pace.size, room), now)
        if not batch:
            return False
        left, plan = list(batch), self._plan
        self._being_started = len(batch)
        try:
            answers = await self._parts.slots.reserve([self._want(waiting) for waiting in batch])
            left = self._act(backend, batch, answers)
        finally:
            self._being_started = 0
            if plan is not self._plan:
                _forget_wants(left)
            self.lines.put_back(backend, left)
        granted = sum(isinstance(answer, Granted) for answer in answers)
        pace.answered(granted, all_granted=not left)
        pace.closed_until, pace.closed_by = _closed(answers)
        pace.closed_from = min(RANK[waiting.priority] for waiting in batch)
        return not left

    def _want(self, waiting: Waiting) -> Want:
        rank, due = self.lines.place(waiting)
        backend = waiting.target.backend
        found_out = self._found_out(backend)
        # What is found out changes, and is asked by one class alone.
        changes = found_out is not None and waiting.priority is Priority.BATCH
        if waiting.want is None or changes:
            waiting.want = self._plan.rules.asking.want(
                waiting.delivery.envelope, backend, waiting.cost, due, found_out
            )
        if (waiting.want.due, waiting.want.overtakes) != (due, rank):
            waiting.want = replace(waiting.want, due=due, overtakes=rank)
        return waiting.want

    def _found_out(self, backend: str) -> FoundOut | None:
        slots = self._parts.upstreams[backend].replicas.found_out
        return None if slots is None else FoundOut(self._parts.engine.owner, slots)

    def _act(
        self, backend: str, batch: Sequence[Waiting], answers: Sequence[Answer]
    ) -> list[Waiting]:
        """Start, park and end what the limits say; return what waits on."""
        left: list[Waiting] = []
        gone: list[Waiting] = []
        for waiting, answer in zip(batch, answers, strict=True):
            match answer:
                case Granted(reservation):
                    self._begin(waiting, reservation)
                case StartAt() as turn:
                    gone.append(waiting)
                    self._await_turn(waiting, turn)
                case TooLate(at, what):
                    gone.append(waiting)
                    end = self._parts.settlement.end_too_late(waiting.delivery, at, what)
                    self._runs.spawn("end, too late", end)
                case Wait():
                    left.append(waiting)
        self.lines.leave(backend, gone)
        return left

    def _await_turn(self, waiting: Waiting, turn: StartAt) -> None:
        """Park it; the next of those whose turn is an estimate stay here, where ends bring them."""
        if not turn.estimated:
            self._park(waiting, turn.at, turn.what)
            return
        self._parked.add(waiting, turn.at, turn.what)
        if len(self._parked) > self._quarter and (last := self._parked.last_estimated()):
            at, farthest, what = last
            self._send_to_tier(farthest, at, what)

    def _park(self, waiting: Waiting, at: float, what: str) -> None:
        """Let a request wait for its turn at `what`, here or in a tier."""
        if self._may_hold(at):
            # Where this clock is ahead of the one that counts, it is asked again now and then.
            self._parked.add(waiting, max(at, time.time() + _ASK_AGAIN_S))
        else:
            self._send_to_tier(waiting, at, what)

    def _send_to_tier(self, waiting: Waiting, at: float, what: str) -> None:
        self._runs.spawn("park", self._parts.settlement.park_until(waiting.delivery, at, what))

    def _bring_back(self, waiting: Waiting) -> None:
        # Limits may have changed meanwhile.
        waiting.want = None
        self._add(waiting)

    def _may_hold(self, at: float) -> bool:
        return at <= time.time() + LONGEST_S and len(self._parked) < self._quarter

    @property
    def _quarter(self) -> int:
        return max(1, self._plan.window // 4)

    def _runs_on(self, backend: str) -> bool:
        return self._parts.board.backend_state(backend) is State.RUNNING

    def _reachable(self) -> PoolPlan:
        """Return the plan without the backends that are drained, if any other is left."""
        state = self._parts.board.backend_state
        drained = [each for each in self._plan.slots if state(each) is State.DRAINING]
        return self._plan.without(drained)

    def _keep_window_open(self) -> None:
        """Let no stopped backend fill the window with what waits for it, if others start."""
        if not any(map(self._runs_on, self._plan.slots)):
            return
        for backend in self._plan.slots:
            surplus = self.lines.length(backend) - self._quarter
            if surplus > 0 and not self._runs_on(backend):
                self._send_away(backend, surplus)

    def _send_away(self, backend: str, surplus: int) -> None:
        """Let what waits for a stopped backend come again later."""
        state = self._parts.board.backend_state(backend)
        away = self.lines.take(backend, surplus, time.time())
        self.lines.leave(backend, away)
        self.lines.put_back(backend, ())
        for waiting in away:
            self._park(waiting, time.time() + _STOPPED_S, f"backend {backend}, which is {state}")


def _forget_wants(waiting: Sequence[Waiting]) -> None:
    """Let them ask anew: they asked by the limits of an older plan."""
    for each in waiting:
        each.want = None


def _closed(answers: Sequence[Answer]) -> tuple[float, str]:
    """Return until when a limit that all share lets nothing start, and which; 0 if none does."""
    waits = [answer for answer in answers if isinstance(answer, Wait)]
    return max(((each.until, each.what) for each in waits if each.until), default=(0.0, ""))
