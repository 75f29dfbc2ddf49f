"""A pool between a queue that is filled by hand and an executor that never ends."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

from broker.claims import Early
from broker.ports import (
    Answer,
    Delivery,
    Granted,
    Reservation,
    State,
    Wait,
    Want,
)
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from workers.plan import PoolPlan
from workers.pool import Pool
from workers.routing.targets import Target
from workers.rules import Rules
from workers.starting import Parts


class Room:
    """A backend's replicas, whose calls never begin."""

    def __init__(self) -> None:
        self.room = 1_000
        self.found_out: int | None = None

    def expect(self, _reservation_id: str) -> None:
        self.room -= 1

    def on_room(self, _wake: object) -> None: ...

    def let_sleep(self, _wake: object) -> None: ...


class Stage:
    """A pool between a queue that is filled by hand and an executor that never ends."""

    def __init__(self, *targets: Target, slots: dict[str, int], rules: Rules | None = None) -> None:
        self.over = asyncio.Event()
        self.started: list[str] = []
        self.targets: list[Target] = []
        self.requeued: list[str] = []
        self.parked: list[tuple[str, str]] = []
        self.too_late: list[str] = []
        self.failures: list[Exception] = []
        self.free = dict(slots)
        self.wants: dict[str, Want] = {}
        self.limits: dict[str, int] = {}
        self.answers: dict[str, Answer] = {}
        self.states: dict[str, State] = {}
        self.deliver: dict[tuple[Priority, Lane], Callable[[Delivery], None]] = {}
        self.windows: list[int] = []
        self.switch: Callable[[], None] = lambda: None
        self.asked = self.looks = 0
        self.wakes: list[Callable[[], None]] = []
        self.upstreams: defaultdict[str, SimpleNamespace] = defaultdict(
            lambda: SimpleNamespace(replicas=Room())
        )
        parts = SimpleNamespace(
            engine=SimpleNamespace(queue=self, owner="a:1"),
            executor=self,
            settlement=self,
            slots=self,
            upstreams=self.upstreams,
            board=self,
        )
        self.pool = Pool(plan(*targets, slots=slots, rules=rules), cast(Parts, parts))

    async def consume(
        self,
        _model: str,
        priority: Priority,
        lane: Lane,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> SimpleNamespace:
        self.deliver[priority, lane] = deliver
        self.windows.append(prefetch)

        async def stop() -> None:
            self.windows.remove(prefetch)

        return SimpleNamespace(stop=stop)

    async def reserve(self, wants: Sequence[Want]) -> list[Answer]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        return [self._answer(want) for want in wants]

    def _answer(self, want: Want) -> Answer:
        self.limits[want.backend] = want.slot.limit
        self.wants[want.request_id] = want
        if want.request_id in self.answers:
            return self.answers[want.request_id]
        if self.free[want.backend] <= 0:
            return Wait("a slot", None)
        self.free[want.backend] -= 1
        return Granted(Reservation(want.backend, f"slot {want.request_id}"))

    def wake_on_free(self, _backend: str, wake: Callable[[], None]) -> None:
        self.wakes.append(wake)

    def let_sleep(self, *_: object) -> None: ...

    def on_change(self, switch: Callable[[], None]) -> None:
        self.switch = switch

    def model_runs(self, model: str) -> bool:
        return self.states.get(model, State.RUNNING) is State.RUNNING

    def forget(self, _switch: object) -> None: ...

    def state(self, _kind: str, name: str) -> State:
        self.looks += 1
        return self.states.get(name, State.RUNNING)

    def backend_state(self, backend: str) -> State:
        return self.states.get(backend, State.RUNNING)

    async def execute(
        self,
        delivery: Delivery,
        _reservation: Reservation,
        target: Target,
        _attempts: int,
        _on_end: object,
    ) -> None:
        self.started.append(delivery.envelope.id)
        self.targets.append(target)
        await self.over.wait()

    async def park(self, delivery: Delivery, _early: Early) -> None:
        self.parked.append((delivery.envelope.id, "early"))

    async def park_until(self, delivery: Delivery, _at: float, what: str) -> None:
        self.parked.append((delivery.envelope.id, what))

    async def end_too_late(self, delivery: Delivery, _at: float, _what: str) -> None:
        self.too_late.append(delivery.envelope.id)

    def add(self, count: int, priority: Priority = Priority.NORMAL) -> list[Envelope]:
        envelopes = [make_envelope(priority=priority) for _ in range(count)]
        for envelope in envelopes:
            self.hand(envelope)
        return envelopes

    def hand(self, envelope: Envelope) -> None:
        self.deliver[envelope.priority, envelope.lane](NotedDelivery(envelope, self.requeued))


class NotedDelivery:
    """A delivery that notes when it is handed back."""

    def __init__(self, envelope: Envelope, requeued: list[str]) -> None:
        self.envelope = envelope
        self._requeued = requeued

    async def ack(self) -> None:
        raise AssertionError("nothing here may be acked")

    async def requeue(self) -> None:
        self._requeued.append(self.envelope.id)


def plan(*targets: Target, slots: dict[str, int], rules: Rules | None = None) -> PoolPlan:
    backends = {name: {"urls": ["http://b"], "concurrency": max(1, n)} for name, n in slots.items()}
    rules = rules or Rules(Config.model_validate({"backends": backends}))
    return PoolPlan("m", targets, slots, 3, rules)


async def settled(turns: int = 50) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
