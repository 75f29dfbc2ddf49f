"""What a pool does with the answers of the limits, and with what an operator has switched."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from broker.ports import (
    StartAt,
    State,
    TooLate,
    Wait,
)
from schemas.priority import RANK, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.pool_stage import Stage, plan, settled
from workers.routing.targets import Target


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


async def test_of_what_waits_for_a_cap_the_next_stay_here() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 8})
    await stage.pool.start()
    quarter = stage.pool.plan.window // 4
    capped = [make_envelope() for _ in range(quarter + 10)]
    for place, envelope in enumerate(reversed(capped)):
        at = time.time() + 100 - place
        stage.answers[envelope.id] = StartAt(at, "max_parallel_requests of t", estimated=True)
    for envelope in reversed(capped):
        stage.hand(envelope)
        await settled(5)
    await settled()
    assert stage.pool.serves.unstarted == quarter
    assert {request_id for request_id, _ in stage.parked} == {each.id for each in capped[quarter:]}
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
