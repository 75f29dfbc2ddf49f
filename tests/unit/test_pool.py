"""A pool fills every slot at once, loses nothing, and hands back what it has not begun."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from broker.claims import Early
from broker.ports import (
    Answer,
    Delivery,
    Granted,
    Queue,
    Reservation,
    StartAt,
    State,
    TooLate,
    Wait,
    Want,
)
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.priority import RANK, Lane, Priority
from tests.fakes.envelopes import make_envelope
from workers.consuming import Consuming
from workers.plan import PoolPlan
from workers.pool import Pool
from workers.routing.targets import Target
from workers.rules import Rules
from workers.starting import Parts


class Room:
    """A backend's replicas, whose calls never begin."""

    def __init__(self) -> None:
        self.room = 1_000

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
            engine=SimpleNamespace(queue=self),
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


async def test_more_than_a_batch_starts_without_a_pause() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 100})
    await stage.pool.start()
    stage.add(90)
    await settled()
    assert len(stage.started) == 90
    await stage.pool.stop()


async def test_no_more_start_than_the_replicas_have_room_for() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 100})
    stage.upstreams["b"].replicas.room = 7
    await stage.pool.start()
    stage.add(40)
    await settled()
    assert len(stage.started) == 7
    assert stage.free["b"] == 93
    await stage.pool.stop()


async def test_high_starts_first_and_the_rest_is_handed_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 2})
    await stage.pool.start()
    low = stage.add(3, Priority.LOW)
    high = stage.add(1, Priority.HIGH)
    await settled()
    assert stage.started == [high[0].id, low[0].id]
    assert stage.pool.serves.unstarted == 2
    await stage.pool.stop_consuming()
    assert stage.requeued == [envelope.id for envelope in low[1:]]
    await stage.pool.stop()


async def test_processes_take_turns_for_slots_but_a_tenant_that_came_back_goes_first() -> None:
    """By due, what this one holds of a flood would go before all that others were given later."""
    stage = Stage(Target("b", "m"), slots={"b": 1})
    await stage.pool.start()
    began = time.time()
    flood = stage.add(3)
    await settled()
    stage.hand(quiet := make_envelope(tenant="quiet"))
    await settled()
    waits_since = stage.wants[flood[1].id]
    assert waits_since.due >= began
    assert stage.wants[quiet.id].due == 0.0
    await stage.pool.stop()


async def test_one_whose_class_is_owed_a_start_asks_with_the_rank_it_overtakes() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 0})
    await stage.pool.start()
    late = make_envelope(priority=Priority.LOW, accepted_at=time.time() - 3_600)
    stage.hand(late)
    stage.add(20, Priority.HIGH)
    stage.free["b"] = 20
    await settled()
    assert late.id in stage.started
    assert stage.wants[late.id].overtakes == RANK[Priority.HIGH]
    await stage.pool.stop()


async def test_a_full_backend_hides_no_free_one() -> None:
    stage = Stage(Target("full", "m"), Target("free", "m"), slots={"full": 0, "free": 40})
    await stage.pool.start()
    stage.add(100)
    await settled()
    assert len(stage.started) > 30
    await stage.pool.stop()


async def test_a_failure_between_the_window_and_the_slot_loses_nothing() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 10})
    stage.failures.append(RuntimeError("a bug"))
    await stage.pool.start()
    stage.add(5)
    async with asyncio.timeout(5):
        while len(stage.started) < 5:  # noqa: ASYNC110  because the supervisor pauses for a moment
            await asyncio.sleep(0.01)
    await stage.pool.stop()


async def test_what_comes_while_it_stops_is_handed_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 1})
    await stage.pool.start()
    await stage.pool.stop_consuming()
    (late,) = stage.add(1)
    await settled()
    assert stage.requeued == [late.id]
    await stage.pool.stop()


async def test_what_waits_is_given_the_new_targets() -> None:
    stage = Stage(Target("old", "m"), slots={"old": 0})
    await stage.pool.start()
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
    await stage.pool.start()
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
    await stage.pool.start()
    stage.add(8)
    await settled()
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 2}))
    stage.add(1)
    await settled()
    assert stage.limits == {"b": 2}
    assert (len(stage.started), stage.pool.serves.slots) == (8, 2)
    await stage.pool.stop()


async def test_a_smaller_window_hands_the_youngest_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 20})
    stage.free["b"] = 0
    await stage.pool.start()
    normal = stage.add(330)
    high = stage.add(2, Priority.HIGH)
    await settled()
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 2}))
    await settled()
    assert stage.requeued == [envelope.id for envelope in normal[324:]]
    assert stage.pool.serves.unstarted == 324 + len(high)
    assert stage.windows == [162] * 8
    await stage.pool.stop()


async def test_an_equal_window_keeps_its_consumers() -> None:
    stage = Stage(Target("a", "m"), slots={"a": 4})
    await stage.pool.start()
    consumed = dict(stage.deliver)
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 4}))
    assert stage.deliver == consumed
    await stage.pool.stop()


async def test_what_a_limit_lets_start_soon_is_held_and_then_starts() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    envelope = make_envelope()
    stage.answers[envelope.id] = StartAt(time.time() + 0.1, "rpm of tenant t")
    stage.hand(envelope)
    await settled()
    assert (stage.started, stage.parked, stage.pool.serves.unstarted) == ([], [], 1)
    del stage.answers[envelope.id]
    async with asyncio.timeout(5):
        while not stage.started:  # noqa: ASYNC110  because the pool's own timer brings it back
            await asyncio.sleep(0.01)
    assert stage.started == [envelope.id]
    await stage.pool.stop()


async def test_what_a_limit_lets_start_much_later_goes_to_a_tier_and_others_start() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    limited = [make_envelope() for _ in range(40)]
    for envelope in limited:
        stage.answers[envelope.id] = StartAt(time.time() + 100, "rpm of tenant t")
        stage.hand(envelope)
    (free,) = stage.add(1)
    await settled()
    assert stage.parked == [(envelope.id, "rpm of tenant t") for envelope in limited]
    assert stage.started == [free.id]
    await stage.pool.stop()


async def test_a_quarter_of_the_window_may_wait_here_for_its_turn() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 8})
    await stage.pool.start()
    for _ in range(200):
        envelope = make_envelope()
        stage.answers[envelope.id] = StartAt(time.time() + 1.5, "rpm of tenant t")
        stage.hand(envelope)
    await settled()
    assert stage.pool.serves.unstarted == stage.pool.plan.window // 4
    assert len(stage.parked) == 200 - stage.pool.plan.window // 4
    await stage.pool.stop()


async def test_an_end_brings_back_what_waits_for_a_cap_of_its_tenant() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 8})
    await stage.pool.start()
    (running,) = stage.add(1)
    capped = [make_envelope() for _ in range(3)]
    for envelope in capped:
        stage.answers[envelope.id] = StartAt(
            time.time() + 100, "max_parallel_requests of tenant t", estimated=True
        )
        stage.hand(envelope)
    await settled()
    assert (stage.started, stage.parked) == ([running.id], [])
    stage.answers.clear()
    stage.over.set()
    await settled()
    assert stage.started == [running.id, *[envelope.id for envelope in capped]]
    await stage.pool.stop()


async def test_a_turn_beyond_the_deadline_ends_the_request() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    envelope = make_envelope()
    stage.answers[envelope.id] = TooLate(time.time() + 1e6, "rpm of tenant t")
    stage.hand(envelope)
    await settled()
    assert (stage.too_late, stage.started) == ([envelope.id], [])
    await stage.pool.stop()


async def test_what_comes_before_its_time_costs_no_slot() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    envelope = replace(make_envelope(), not_before=time.time() + 100)
    stage.hand(envelope)
    await settled()
    assert (stage.parked, stage.limits) == ([(envelope.id, "early")], {})
    await stage.pool.stop()


async def test_a_paused_model_holds_nothing_and_starts_nothing() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 0})
    await stage.pool.start()
    waiting = stage.add(3)
    await settled()
    stage.states["m"] = State.PAUSED
    stage.free["b"] = 5
    stage.switch()
    await settled()
    assert (stage.started, stage.windows) == ([], [])
    assert stage.requeued == [envelope.id for envelope in waiting]
    del stage.states["m"]
    stage.switch()
    await settled()
    assert len(stage.windows) == 8
    (later,) = stage.add(1)
    await settled()
    assert stage.started == [later.id]
    await stage.pool.stop()


async def test_what_waits_for_a_drained_backend_goes_to_another() -> None:
    stage = Stage(Target("a", "m"), Target("b", "m"), slots={"a": 0, "b": 0})
    await stage.pool.start()
    waiting = stage.add(20)
    await settled()
    stage.states["a"] = State.DRAINING
    stage.free["b"] = 20
    stage.switch()
    await settled()
    assert sorted(stage.started) == sorted(envelope.id for envelope in waiting)
    assert {target.backend for target in stage.targets} == {"b"}
    await stage.pool.stop()


async def test_a_paused_backend_keeps_its_requests_but_not_the_window() -> None:
    stage = Stage(Target("a", "m"), Target("b", "m"), slots={"a": 4, "b": 4})
    await stage.pool.start()
    stage.states["a"] = State.PAUSED
    stage.free["b"] = 200
    stage.add(200)
    await settled()
    quarter = stage.pool.plan.window // 4
    assert {target.backend for target in stage.targets} == {"b"}
    assert stage.pool.serves.unstarted == quarter
    assert len(stage.started) + quarter + len(stage.parked) == 200
    assert {what for _, what in stage.parked} == {"backend a, which is paused"}
    await stage.pool.stop()


async def test_a_lower_concurrency_is_asked_for_by_what_was_being_asked_for() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 8})
    stage.free["b"] = 0
    await stage.pool.start()
    (waiting,) = stage.add(1)
    while not stage.asked:  # noqa: ASYNC110  because it is between two turns of the loop
        await asyncio.sleep(0)
    await stage.pool.apply(plan(Target("b", "m"), slots={"b": 2}))
    await settled()
    assert stage.wants[waiting.id].slot.limit == 2
    await stage.pool.stop()


async def test_a_backlog_is_not_sent_around_while_no_backend_runs() -> None:
    stage = Stage(Target("a", "m"), slots={"a": 4})
    await stage.pool.start()
    stage.states["a"] = State.PAUSED
    stage.add(200)
    await settled()
    assert (stage.started, stage.parked, stage.pool.serves.unstarted) == ([], [], 200)
    await stage.pool.stop()


async def test_a_turn_that_comes_while_the_model_is_paused_is_handed_back() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    envelope = make_envelope()
    stage.answers[envelope.id] = StartAt(time.time() + 0.1, "rpm of tenant t")
    stage.hand(envelope)
    await settled()
    stage.states["m"] = State.PAUSED
    stage.switch()
    async with asyncio.timeout(5):
        while not stage.requeued:  # noqa: ASYNC110  because the pool's own timer brings it back
            await asyncio.sleep(0.01)
    assert (stage.started, stage.requeued) == ([], [envelope.id])
    await stage.pool.stop()


async def test_a_class_is_not_consumed_again_while_the_pool_stops() -> None:
    stopping, consumed = asyncio.Event(), Counter[Priority]()

    async def consume(_model: str, priority: Priority, *_: object) -> SimpleNamespace:
        async def stop() -> None:
            await stopping.wait()
            consumed[priority] -= 1

        consumed[priority] += 1
        return SimpleNamespace(stop=stop)

    queue = cast(Queue, SimpleNamespace(consume=consume))
    consuming = Consuming(queue, "m", lambda _: None)
    await consuming.take(Priority.HIGH, 1)
    stop = asyncio.create_task(consuming.stop())
    await settled()
    await consuming.take(Priority.LOW, 1)
    stopping.set()
    await stop
    assert consumed.total() == 0


async def test_high_does_not_wait_for_the_rate_that_a_large_low_one_waits_for() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    large = make_envelope(priority=Priority.LOW)
    stage.answers[large.id] = Wait("tpm of backend b", time.time() + 100)
    stage.hand(large)
    await settled()
    (high,) = stage.add(1, Priority.HIGH)
    await settled()
    assert stage.started == [high.id]
    await stage.pool.stop()


async def test_a_clock_that_is_ahead_does_not_make_a_pool_ask_without_a_pause() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 5})
    await stage.pool.start()
    envelope = make_envelope()
    stage.answers[envelope.id] = StartAt(time.time() - 0.5, "rpm of tenant t")
    stage.hand(envelope)
    await settled(20)
    assert (stage.asked, stage.pool.serves.unstarted) == (1, 1)
    await stage.pool.stop()


async def test_only_a_pool_where_something_waits_wakes_up_for_a_free_slot() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 1})
    await stage.pool.start()
    await settled()
    looks = stage.looks
    stage.wakes[0]()
    await settled()
    assert stage.looks == looks
    stage.free["b"] = 0
    (waiting,) = stage.add(1)
    await settled()
    stage.free["b"] = 1
    stage.wakes[0]()
    await settled()
    assert stage.started == [waiting.id]
    await stage.pool.stop()
