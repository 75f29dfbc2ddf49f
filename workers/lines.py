"""The deliveries of one pool that wait for a slot: a line for each backend.

One line for all would let a full backend hide those with free slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from broker.ports import Delivery
from broker.scheduling.estimate import Estimator
from broker.scheduling.order import Order
from broker.scheduling.shares import due_of, shares_of
from schemas.limits import SchedulingConfig
from schemas.priority import PRIORITIES, Priority
from workers.plan import PoolPlan
from workers.routing.targets import Target, choose_target

_SHARES = shares_of(SchedulingConfig())


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery and the target that was chosen for it; `cost` in tokens, `due` in Unix seconds."""

    delivery: Delivery
    target: Target
    cost: float
    due: float

    @property
    def priority(self) -> Priority:
        """Its class."""
        return self.delivery.envelope.priority

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.delivery.envelope.tenant

    @property
    def accepted_at(self) -> float:
        """When it was accepted, in Unix seconds."""
        return self.delivery.envelope.accepted_at


class Lines:
    """Pure: who waits for which backend, by the pool's plan."""

    def __init__(self, plan: PoolPlan) -> None:
        self._plan = plan
        self._lines = _lines(plan)
        self._estimator = Estimator()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def add(self, delivery: Delivery) -> None:
        """Take a delivery into the line of its target's backend."""
        envelope = delivery.envelope
        target = choose_target(self._plan.targets, envelope.id)
        cost = self._estimator.cost(envelope.input_tokens, envelope.max_tokens)
        due = due_of(
            envelope.priority,
            envelope.accepted_at,
            envelope.deadline,
            self._estimator.service_s,
            _SHARES,
        )
        self._lines[target.backend].add(Waiting(delivery, target, cost, due))

    def take(self, backend: str, count: int, now: float) -> list[Waiting]:
        """Remove and return the next `count` for `backend`, best first; none for one unknown."""
        line = self._lines.get(backend)
        return line.take(count, now) if line is not None else []

    def put_back(self, backend: str, taken: Iterable[Waiting]) -> None:
        """Take back what could not start; the plan may have changed meanwhile."""
        staying: list[Waiting] = []
        for waiting in taken:
            if waiting.target in self._plan.targets:
                staying.append(waiting)
            else:
                self.add(waiting.delivery)
        if backend in self._lines:
            self._lines[backend].put_back(staying)

    def change(self, plan: PoolPlan) -> list[Delivery]:
        """Choose a target by `plan` for all that wait; return what its window does not hold."""
        waiting = sorted(self.empty(), key=lambda delivery: delivery.envelope.accepted_at)
        self._plan, self._lines = plan, _lines(plan)
        room = dict.fromkeys(PRIORITIES, plan.window)
        surplus: list[Delivery] = []
        for delivery in waiting:
            if room[delivery.envelope.priority]:
                room[delivery.envelope.priority] -= 1
                self.add(delivery)
            else:
                surplus.append(delivery)
        return surplus

    def empty(self) -> list[Delivery]:
        """Remove and return all."""
        return [waiting.delivery for line in self._lines.values() for waiting in line.empty()]


def _lines(plan: PoolPlan) -> dict[str, Order[Waiting]]:
    return {backend: Order(_SHARES, lambda _tenant: 1.0) for backend in plan.slots}
