"""A pool fills every slot at once, loses nothing, and hands back what it has not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from broker.ports import Delivery, Engine, Reservation, State, Switched, Switches
from broker.switchboard import SwitchBoard
from schemas.envelope import Envelope
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from workers.executor import Executor
from workers.plan import PoolPlan
from workers.pool import Pool
from workers.routing.targets import Target
from workers.settlement import Settlement
from workers.slots import Slots


class Stage:
    """A pool between a queue that is filled by hand and an executor that never ends."""

    def __init__(self, *targets: Target, slots: dict[str, int]) -> None:
        self.started: list[str] = []
        self.targets: list[Target] = []
        self.requeued: list[str] = []
        self.failures: list[Exception] = []
        self.free = dict(slots)
        self.limits: dict[str, int] = {}
        self.deliver: dict[Priority, Callable[[Delivery], None]] = {}
        self.windows: list[int] = []
        self.states: dict[tuple[Switched, str], State] = {}
        engine = cast(Engine, SimpleNamespace(queue=self))
        self.switches = SwitchBoard(cast(Switches, self))
        self.pool = Pool(
            PoolPlan("m", targets, slots, max_attempts=3),
            engine,
            cast(Executor, self),
            cast(Settlement, None),
            cast(Slots, self),
            self.switches,
        )

    async def start(self) -> None:
        await self.switches.refresh()
        await self.pool.start()

    async def switch(self, kind: Switched, name: str, state: State) -> None:
        self.states[kind, name] = state
        await self.switches.refresh()

    async def all(self) -> dict[tuple[Switched, str], State]:
        return dict(self.states)

    def on_change(self, *_: object) -> None: ...

    async def consume(
        self,
        _model: str,
        priority: Priority,
        _lane: Lane,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> SimpleNamespace:
        self.deliver[priority] = deliver
        self.windows.append(prefetch)

        async def stop() -> None:
            self.windows.remove(prefetch)

        return SimpleNamespace(stop=stop)

    async def reserve(self, backend: str, limit: int, count: int) -> list[Reservation]:
        self.limits[backend] = limit
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        granted = min(self.free[backend], count)
        self.free[backend] -= granted
        return [Reservation(backend, f"slot {number}") for number in range(granted)]

    def wake_on_free(self, *_: object) -> None: ...

    def let_sleep(self, *_: object) -> None: ...

    async def execute(
        self, delivery: Delivery, _reservation: Reservation, target: Target, _attempts: int
    ) -> None:
        self.started.append(delivery.envelope.id)
        self.targets.append(target)
        await asyncio.Event().wait()

    def add(self, count: int, priority: Priority = Priority.NORMAL) -> list[Envelope]:
        envelopes = [make_envelope(priority=priority) for _ in range(count)]
        for envelope in envelopes:
            self.deliver[priority](NotedDelivery(envelope, self.requeued))
        return envelopes


class NotedDelivery:
    """A delivery that notes when it is handed back."""

    def __init__(self, envelope: Envelope, requeued: list[str]) -> None:
        self.envelope = envelope
        self._requeued = requeued

    async def ack(self) -> None:
        raise AssertionError("nothing here may be acked")

    async def requeue(self) -> None:
        self._requeued.append(self.envelope.id)


async def settled(turns: int = 50) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_more_than_a_batch_starts_without_a_pause() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 100})
    await stage.start()
    stage.add(90)
    await settled()
    assert len(stage.started) == 90
    await stage.pool.stop()


async def test_high_starts_first_and_the_rest_is_handed_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 2})
    await stage.start()
    low = stage.add(3, Priority.LOW)
    high = stage.add(1, Priority.HIGH)
    await settled()
    assert stage.started == [high[0].id, low[0].id]
    assert stage.pool.serves.unstarted == 2
    await stage.pool.stop_consuming()
    assert stage.requeued == [envelope.id for envelope in low[1:]]
    await stage.pool.stop()


async def test_a_full_backend_hides_no_free_one() -> None:
    stage = Stage(Target("full", "m"), Target("free", "m"), slots={"full": 0, "free": 40})
    await stage.start()
    stage.add(100)
    await settled()
    assert len(stage.started) > 30
    await stage.pool.stop()


async def test_a_failure_between_the_window_and_the_slot_loses_nothing() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 10})
    stage.failures.append(RuntimeError("a bug"))
    await stage.start()
    stage.add(5)
    async with asyncio.timeout(5):
        while len(stage.started) < 5:  # noqa: ASYNC110  because the supervisor pauses for a moment
            await asyncio.sleep(0.01)
    await stage.pool.stop()


async def test_what_comes_while_it_stops_is_handed_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 1})
    await stage.start()
    await stage.pool.stop_consuming()
    (late,) = stage.add(1)
    await settled()
    assert stage.requeued == [late.id]
    await stage.pool.stop()


def plan(*targets: Target, slots: dict[str, int]) -> PoolPlan:
    return PoolPlan("m", targets, slots, max_attempts=3)


async def test_what_waits_is_given_the_new_targets() -> None:
    stage = Stage(Target("old", "m"), slots={"old": 0})
    await stage.start()
    waiting = stage.add(5)
    await settled()
    stage.free["new"] = 5
    await stage.pool.apply(plan(Target("new", "n"), slots={"new": 5}))
    await settled()
    assert stage.started == [envelope.id for envelope in waiting]
    assert set(stage.targets) == {Target("new", "n")}
    assert stage.requeued == []
    await stage.pool.stop()


async def test_the_plan_may_change_while_a_slot_is_asked_for() -> None:
    stage = Stage(Target("old", "m"), slots={"old": 0})
    await stage.start()
    stage.add(5)
    stage.free["new"] = 5
    for turn in range(20):
        backend = ("old", "new")[turn % 2]
        await stage.pool.apply(plan(Target(backend, "m"), slots={backend: 5}))
        await settled(turn % 3)
    await settled()
    assert len(set(stage.started)) == 5
    assert stage.pool.serves.unstarted == 0
    await stage.pool.stop()


async def test_a_lower_concurrency_is_asked_for_at_once() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 8})
    await stage.start()
    stage.add(8)
    await settled()
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 2}))
    stage.add(1)
    await settled()
    assert stage.limits == {"b": 2}
    assert (len(stage.started), stage.pool.serves.slots) == (8, 2)
    await stage.pool.stop()


async def test_a_smaller_window_hands_the_youngest_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 0})
    await stage.start()
    normal = stage.add(6)
    high = stage.add(2, Priority.HIGH)
    await settled()
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 2}))
    await settled()
    assert stage.requeued == [envelope.id for envelope in normal[3:]]
    assert stage.pool.serves.unstarted == 3 + len(high)
    assert set(stage.windows) == {3}
    assert len(stage.windows) == 8
    await stage.pool.stop()


async def test_an_equal_window_keeps_its_consumers() -> None:
    stage = Stage(Target("a", "m"), slots={"a": 4})
    await stage.start()
    consumed = dict(stage.deliver)
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 4}))
    assert stage.deliver == consumed
    await stage.pool.stop()


async def test_a_paused_model_starts_nothing_until_it_is_resumed() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 4})
    await stage.switch("model", "m", State.PAUSED)
    await stage.start()
    waiting = stage.add(2)
    await settled()
    assert stage.started == []
    await stage.switch("model", "m", State.RUNNING)
    await settled()
    assert stage.started == [envelope.id for envelope in waiting]
    await stage.pool.stop()


async def test_a_draining_model_starts_what_waits() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 4})
    await stage.switch("model", "m", State.DRAINING)
    await stage.start()
    stage.add(2)
    await settled()
    assert len(stage.started) == 2
    await stage.pool.stop()


async def test_a_paused_backend_keeps_those_that_were_chosen_for_it() -> None:
    stage = Stage(Target("a", "m"), Target("b", "m"), slots={"a": 100, "b": 100})
    await stage.switch("backend", "a", State.PAUSED)
    await stage.start()
    stage.add(40)
    await settled()
    assert {target.backend for target in stage.targets} == {"b"}
    assert 0 < len(stage.started) < 40
    await stage.switch("backend", "a", State.RUNNING)
    await settled()
    assert len(stage.started) == 40
    await stage.pool.stop()


async def test_what_waits_for_a_draining_backend_goes_elsewhere() -> None:
    stage = Stage(Target("a", "m"), Target("b", "m"), slots={"a": 0, "b": 100})
    await stage.start()
    stage.add(40)
    await settled()
    assert 0 < len(stage.started) < 40
    await stage.switch("backend", "a", State.DRAINING)
    await settled()
    assert len(stage.started) == 40
    stage.add(10)
    await settled()
    assert {target.backend for target in stage.targets} == {"b"}
    assert len(stage.started) == 50
    await stage.pool.stop()


async def test_the_only_backend_of_a_model_keeps_what_waits_while_it_drains() -> None:
    stage = Stage(Target("a", "m"), Target("idle", "m", 0), slots={"a": 4, "idle": 4})
    await stage.switch("backend", "a", State.DRAINING)
    await stage.start()
    stage.add(3)
    await settled()
    assert stage.started == []
    assert stage.pool.serves.unstarted == 3
    await stage.switch("backend", "a", State.RUNNING)
    await settled()
    assert len(stage.started) == 3
    await stage.pool.stop()
