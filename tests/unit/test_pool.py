"""A pool fills every slot at once, loses nothing, and hands back what it has not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from broker.ports import Delivery, Engine, Reservation
from schemas.envelope import Envelope
from schemas.priority import Priority
from tests.fakes.envelopes import make_envelope
from workers.executor import Executor
from workers.pool import Pool, PoolPlan
from workers.routing.targets import Target
from workers.settlement import Settlement
from workers.slots import Slots


class Stage:
    """A pool between a queue that is filled by hand and an executor that never ends."""

    def __init__(self, *targets: Target, slots: dict[str, int]) -> None:
        self.started: list[str] = []
        self.requeued: list[str] = []
        self.failures: list[Exception] = []
        self.free = dict(slots)
        self.deliver: dict[Priority, Callable[[Delivery], None]] = {}
        limits = SimpleNamespace(on_free=lambda *_: None)
        engine = cast(Engine, SimpleNamespace(owner="me:1", queue=self, limits=limits))
        self.pool = Pool(
            PoolPlan("m", targets, slots, max_attempts=3),
            engine,
            cast(Executor, self),
            cast(Settlement, None),
            cast(Slots, self),
        )

    async def consume(
        self, _model: str, priority: Priority, _prefetch: int, deliver: Callable[[Delivery], None]
    ) -> SimpleNamespace:
        self.deliver[priority] = deliver
        return SimpleNamespace(stop=self._stopped)

    async def reserve(self, backend: str, _limit: int, ids: Sequence[str]) -> list[Reservation]:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        granted = min(self.free[backend], len(ids))
        self.free[backend] -= granted
        return [Reservation(backend, reservation_id) for reservation_id in ids[:granted]]

    async def execute(self, delivery: Delivery, *_rest: Any) -> None:
        self.started.append(delivery.envelope.id)
        await asyncio.Event().wait()

    def add(self, count: int, priority: Priority = Priority.NORMAL) -> list[Envelope]:
        envelopes = [make_envelope(priority=priority) for _ in range(count)]
        for envelope in envelopes:
            self.deliver[priority](NotedDelivery(envelope, self.requeued))
        return envelopes

    async def _stopped(self) -> None: ...


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
    await stage.pool.start()
    stage.add(90)
    await settled()
    assert len(stage.started) == 90
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
