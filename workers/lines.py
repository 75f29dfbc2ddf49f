"""The deliveries of one pool that wait for a slot: a line for each backend.

One line for all would let a full backend hide those with free slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from broker.ports import Delivery, Want
from broker.scheduling.estimate import Estimator
from broker.scheduling.order import Order
from broker.scheduling.shares import due_of
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
    body_bytes: int = field(init=False)
    want: Want | None = None

    def __post_init__(self) -> None:
        envelope = self.delivery.envelope
        self.priority, self.tenant = envelope.priority, envelope.tenant
        self.accepted_at, self.body_bytes = envelope.accepted_at, len(envelope.body)


class Lines:
    """Pure: who waits for which backend, by the pool's plan."""

    def __init__(self, plan: PoolPlan) -> None:
        self._plan = plan
        self._lines = _lines(plan)
        self._bytes: Counter[Priority] = Counter()
        self.estimator = Estimator()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def held(self) -> dict[Priority, Held]:
        """Return what waits of each class."""
        return {
            priority: Held(
                sum(line.waiting(priority) for line in self._lines.values()), self._bytes[priority]
            )
            for priority in Priority
        }

    def oldest(self, priority: Priority) -> float | None:
        """Return when the oldest of a class was accepted, in Unix seconds."""
        found = [line.oldest(priority) for line in self._lines.values()]
        return min((at for at in found if at is not None), default=None)

    def seen(self, delivery: Delivery) -> Waiting:
        """Return a delivery with its target and what its turn is charged, in no line yet."""
        envelope, estimator = delivery.envelope, self.estimator
        return Waiting(
            delivery,
            choose_target(self._plan.targets, envelope.id),
            estimator.cost(envelope.input_tokens, envelope.max_tokens),
            due_of(
                envelope.priority,
                envelope.accepted_at,
                envelope.deadline,
                estimator.service_s,
                self._plan.rules.shares,
            ),
        )

    def add(self, waiting: Waiting) -> None:
        """Take one into the line of its backend; the plan may have changed since it was seen."""
        if waiting.target not in self._plan.targets:
            waiting = self.seen(waiting.delivery)
        self._bytes[waiting.priority] += waiting.body_bytes
        self._lines[waiting.target.backend].add(waiting)

    def length(self, backend: str) -> int:
        """Return how many wait for `backend`."""
        line = self._lines.get(backend)
        return 0 if line is None else len(line)

    def take(self, backend: str, count: int, now: float) -> list[Waiting]:
        """Remove and return the next `count` for `backend`, best first; none for one unknown.

        `put_back` follows, with those that did not start, or with none.
        """
        line = self._lines.get(backend)
        return self._out(line.take(count, now)) if line is not None else []

    def place(self, waiting: Waiting) -> tuple[int, float]:
        """Return the place with which one that was taken asks for a slot: see `Order.place`."""
        return self._lines[waiting.target.backend].place(waiting)

    def leave(self, backend: str, taken: Sequence[Waiting]) -> None:
        """Let those go that are parked or ended: their tenants are charged nothing."""
        if (line := self._lines.get(backend)) is not None:
            line.leave(taken)

    def put_back(self, backend: str, taken: Sequence[Waiting]) -> None:
        """Take back what did not start, as though it had never been taken."""
        line = self._lines.get(backend)
        if line is None or any(waiting.target not in self._plan.targets for waiting in taken):
            for waiting in taken:
                self.add(waiting)
            return
        for waiting in taken:
            self._bytes[waiting.priority] += waiting.body_bytes
        line.put_back(taken)

    def correct(self, waiting: Waiting, tokens: float) -> None:
        """Charge the tenant's turns `tokens` more than was estimated."""
        if (line := self._lines.get(waiting.target.backend)) is not None:
            line.correct(waiting.priority, waiting.tenant, tokens)

    def change(self, plan: PoolPlan) -> list[Delivery]:
        """Choose a target by `plan` for all that wait; return what its window does not hold."""
        waiting = sorted(self.empty(), key=lambda each: each.accepted_at)
        self._plan, self._lines = plan, _lines(plan)
        room = dict.fromkeys(Priority, len(Lane) * plan.window)
        surplus: list[Delivery] = []
        for each in waiting:
            if room[each.priority]:
                room[each.priority] -= 1
                self.add(self.seen(each.delivery))
            else:
                surplus.append(each.delivery)
        return surplus

    def drop(self, priority: Priority) -> list[Waiting]:
        """Remove and return all of one class."""
        return self._out(each for line in self._lines.values() for each in line.drop(priority))

    def empty(self) -> list[Waiting]:
        """Remove and return all."""
        return self._out(each for line in self._lines.values() for each in line.empty())

    def _out(self, removed: Iterable[Waiting]) -> list[Waiting]:
        gone = list(removed)
        for waiting in gone:
            self._bytes[waiting.priority] -= waiting.body_bytes
        return gone


def _lines(plan: PoolPlan) -> dict[str, Order[Waiting]]:
    rules = plan.rules
    return {backend: Order(rules.shares, rules.weight_of) for backend in plan.slots}
