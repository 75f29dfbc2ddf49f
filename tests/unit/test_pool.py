"""A pool fills every slot at once, loses nothing, and hands back what it has not begun."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import cast

from broker.ports import (
    Queue,
)
from schemas.config import Config
from schemas.priority import Priority
from tests.fakes.pool_stage import Stage, plan, settled
from workers.consuming import Consuming
from workers.routing.targets import Target
from workers.rules import Rules

ADAPTIVE = Config.model_validate(
    {"backends": {"b": {"urls": ["http://b/v1"], "concurrency": {"max": 64}}}}
)


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


async def test_what_batch_leaves_follows_what_is_found_out() -> None:
    stage = Stage(Target("b", "m"), slots={"b": 0}, rules=Rules(ADAPTIVE))
    stage.upstreams["b"].replicas.found_out = 8
    await stage.pool.start()
    (batch,) = stage.add(1, Priority.BATCH)
    (high,) = stage.add(1, Priority.HIGH)
    await settled()
    caps = [stage.wants[batch.id].beside_live]
    stage.upstreams["b"].replicas.found_out = 16
    stage.free["b"] = 2
    for wake in stage.wakes:
        wake()
    await settled()
    caps.append(stage.wants[batch.id].beside_live)
    assert [(cap.key, cap.limit) for cap in caps if cap is not None] == [
        ("backend:b:batch:a:1", 6),
        ("backend:b:batch:a:1", 12),
    ]
    assert stage.wants[high.id].beside_live is None
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
