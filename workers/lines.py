"""The deliveries of one pool that wait for a slot: a line for each backend.

One line for all would let a full backend hide those with free slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from broker.ports import Delivery, Want
from broker.scheduling.estimate import Estimator
from broker.scheduling.order import Order, due_of
from broker.scheduling.windows import Held
from schemas.priority import Lane, Priority
from workers.plan import PoolPlan
from workers.routing.targets import Target, choose_target


@dataclass(eq=False, slots=True)
class Waiting:
    """A delivery, the target that was chosen for it, and what its turn is charged, in tokens."""

    delivery: Delivery
    target: Target
    cost: float
    due: float
    priority: Priority = field(init=False)
    tenant: str = field(init=False)
    accepted_at: float = field(init=False)
    want: Want | None = None

    def __post_init__(self) -> None:
        envelope = self.delivery.envelope
        self.priority, self.tenant = envelope.priority, envelope.tenant
        self.accepted_at = envelope.accepted_at


class Lines:
    """Pure: who waits for which backend, by the pool's plan."""

    def __init__(self, plan: PoolPlan) -> None:
        self._plan = plan
        self._lines = _lines(plan)
        self.estimator = Estimator()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def held(self) -> dict[Priority, Held]:
        """Return what waits of each class."""
        counts, sizes = Counter[Priority](), Counter[Priority]()
        for line in self._lines.values():
            for waiting in line:
                counts[waiting.priority] += 1
                sizes[waiting.priority] += len(waiting.delivery.envelope.body)
        return {priority: Held(counts[priority], sizes[priority]) for priority in Priority}

    def oldest(self, priority: Priority) -> float | None:
        """Return when the oldest of a class was accepted, in Unix seconds."""
        found = [line.oldest(priority) for line in self._lines.values()]
        return min((at for at in found if at is not None), default=None)

    def add(self, delivery: Delivery, avoid: Sequence[str] = ()) -> Waiting:
        """Take a delivery into the line of its target's backend, one of `avoid` only if it must."""
        waiting = self.seen(delivery, avoid)
        self._lines[waiting.target.backend].add(waiting)
        return waiting

    def seen(self, delivery: Delivery, avoid: Sequence[str] = ()) -> Waiting:
        """Return a delivery with its target and what its turn is charged, in no line yet."""
        envelope, shares = delivery.envelope, self._plan.rules.shares
        targets = [target for target in self._plan.targets if target.backend not in avoid]
        if not any(target.weight > 0 for target in targets):
            targets = list(self._plan.targets)
        estimator = self.estimator
        return Waiting(
            delivery,
            choose_target(targets, envelope.id),
            estimator.cost(envelope.input_tokens, envelope.max_tokens),
            due_of(
                envelope.priority,
                envelope.accepted_at,
                envelope.deadline,
                estimator.service_s,
                shares,
            ),
        )

    def add_again(self, waiting: Waiting) -> None:
        """Take back one that was parked; the plan may have changed meanwhile."""
        if waiting.target in self._plan.targets:
            self._lines[waiting.target.backend].add(waiting)
        else:
            self.add(waiting.delivery)

    def length(self, backend: str) -> int:
        """Return how many wait for `backend`."""
        line = self._lines.get(backend)
        return 0 if line is None else len(line)

    def take(self, backend: str, count: int, now: float) -> list[Waiting]:
        """Remove and return the next `count` for `backend`, best first; none for one unknown."""
        line = self._lines.get(backend)
        return line.take(count, now) if line is not None else []

    def put_back(self, backend: str, taken: Sequence[Waiting]) -> None:
        """Take back what could not start, as though it had never been taken."""
        if (line := self._lines.get(backend)) is not None and all(
            waiting.target in self._plan.targets for waiting in taken
        ):
            line.put_back(taken)
            return
        for waiting in taken:
            self.add(waiting.delivery)

    def correct(self, waiting: Waiting, tokens: float) -> None:
        """Charge the tenant's turns `tokens` more than was estimated."""
        if (line := self._lines.get(waiting.target.backend)) is not None:
            line.correct(waiting.priority, waiting.tenant, tokens)

    def change(self, plan: PoolPlan) -> list[Delivery]:
        """Choose a target by `plan` for all that wait; return what its window does not hold."""
        waiting = sorted(self.empty(), key=lambda delivery: delivery.envelope.accepted_at)
        self._plan, self._lines = plan, _lines(plan)
        room: dict[Priority, int] = dict.fromkeys(Priority, len(Lane) * plan.window)
        surplus: list[Delivery] = []
        for delivery in waiting:
            if room[delivery.envelope.priority]:
                room[delivery.envelope.priority] -= 1
                self.add(delivery)
            else:
                surplus.append(delivery)
        return surplus

    def drop(self, priority: Priority) -> list[Waiting]:
        """Remove and return all of one class, the oldest of each line first."""
        return [waiting for line in self._lines.values() for waiting in line.drop(priority)]

    def leave(self, backend: str) -> list[Delivery]:
        """Remove and return all that wait for `backend`."""
        line = self._lines.get(backend)
        return _deliveries(line.empty()) if line is not None else []

    def empty(self) -> list[Delivery]:
        """Remove and return all."""
        return [each for line in self._lines.values() for each in _deliveries(line.empty())]


def _deliveries(waiting: Iterable[Waiting]) -> list[Delivery]:
    return [each.delivery for each in waiting]


def _lines(plan: PoolPlan) -> dict[str, Order[Waiting]]:
    rules = plan.rules
    return {backend: Order(rules.shares, rules.weight_of) for backend in plan.slots}
