"""How many requests are queued, by model, class and tenant: exact through every step."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from broker.claims import Run
from broker.ports import Reservation, Selection
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from schemas.priority import PRIORITIES, Lane, Priority
from tests.conformance.stages import Process
from tests.conformance.steps import accepted, created, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

NORMAL = Priority.NORMAL
MODELS = ("m", "org/model: 7B.x")
TENANTS = ("a", "b/c", "ünï:1")


async def test_what_waits_is_counted_by_class_and_tenant(engine: Process) -> None:
    assert await engine.store.waiting("m") == {}
    for priority, tenant in [("high", "a"), ("high", "b/c"), ("low", "a"), ("low", "a")]:
        await accepted(engine, priority=Priority(priority), tenant=tenant)
    await accepted(engine, model="other")
    assert await engine.store.waiting("m") == {
        Priority.HIGH: {"a": 1, "b/c": 1},
        Priority.LOW: {"a": 2},
    }
    assert sorted(await engine.store.waiting_models()) == ["m", "other"]


async def test_only_what_is_queued_counts(engine: Process) -> None:
    envelope = await accepted(engine)
    copy = envelope.next_generation(time.time())
    assert await _count(engine) == 1
    await engine.store.park(copy, "rpm of tenant default")
    assert await _count(engine) == 1, "a parked one waits too"
    assert await engine.store.claim(copy, make_slot()) == Run(1, 0)
    assert await _count(engine) == 0
    assert await engine.store.requeue(copy, 1)
    assert await _count(engine) == 1
    await engine.store.cancel(envelope.id)
    assert await engine.store.waiting("m") == {}
    assert await engine.store.waiting_models() == []


async def test_both_lanes_count_together(engine: Process) -> None:
    for lane in Lane:
        await accepted(engine, lane=lane)
    assert await _count(engine) == 2


async def test_no_repeated_step_counts_twice(engine: Process) -> None:
    envelope, slot, result = make_envelope(), make_slot(), make_result()
    for _ in range(2):
        assert await engine.store.create(envelope)
        assert await _count(engine) == 1
    for _ in range(2):
        assert await engine.store.claim(envelope, slot) == Run(1, 0)
        assert await _count(engine) == 0
    for _ in range(2):
        assert await engine.store.requeue(envelope, 1)
        assert await _count(engine) == 1
    for _ in range(2):
        assert (await engine.store.finish(envelope, result, 1)).won
        await engine.store.cancel(envelope.id)
        assert await _count(engine) == 0


async def test_a_refusal_waits_no_more_and_makes_room(engine: Process) -> None:
    envelope = await created(engine)
    assert await engine.store.take_back(envelope)
    assert await engine.store.take_back(make_envelope()), "its create is still on its way"
    assert await _count(engine) == 0
    assert await engine.store.create(replace(envelope, generation=1))
    assert await _count(engine) == 1


async def test_what_is_rebuilt_from_its_message_counts(engine: Process) -> None:
    early = make_envelope(not_before=time.time() + 50)
    await engine.store.claim(early, make_slot())
    await engine.store.claim(make_envelope(), make_slot())
    await engine.store.finish(make_envelope(), make_result(), 1)
    # One that came before its time waits where a part can keep it apart from its message.
    assert await _count(engine) == len(await _queued(engine))


async def test_what_the_keeper_moves_is_counted(engine: Process) -> None:
    released, ended = await running(engine), await accepted(engine)
    assert await engine.upkeep.release(released.id, engine.owner)
    assert await _count(engine) == 2
    assert await engine.upkeep.end(await record_of(engine, ended), make_result(Status.EXPIRED))
    assert await _count(engine) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_random_lives_are_counted_at_every_step_and_leave_nothing(
    engine: Process, seed: int
) -> None:
    """Against a full count of the records, which knows nothing of the counters."""
    lives = Lives(engine, random.Random(seed))
    for _ in range(12):
        await asyncio.gather(*(lives.step() for _ in range(12)))
        await _assert_exact(engine)
    await lives.end()
    await _assert_exact(engine)
    assert await engine.store.waiting_models() == []
    for model in MODELS:
        assert await engine.store.waiting(model) == {}


@dataclass
class Lives:
    """Requests that are pushed about at random, each by one step at a time."""

    engine: Process
    rng: random.Random
    requests: dict[str, tuple[Envelope, Reservation]] = field(default_factory=dict)

    async def step(self) -> None:
        """Do one thing to one request, fitting or not."""
        store, rng = self.engine.store, self.rng
        if not self.requests or rng.random() < 0.25:
            await self._begin()
            return
        request_id = rng.choice(list(self.requests))
        envelope, slot = self.requests[request_id]
        record = await store.get(request_id)
        attempt = record.attempt if record else 0
        later = envelope.next_generation(time.time() - 1)
        match rng.randrange(10):
            case 0 | 1 | 2:
                await store.claim(envelope, slot)
            case 3:
                if await store.requeue(later, attempt):
                    self.requests[request_id] = (later, make_slot())
            case 4:
                if await store.park(later, "tpm of tenant a"):
                    self.requests[request_id] = (later, slot)
            case 5:
                status = rng.choice([Status.COMPLETED, Status.FAILED])
                await store.finish(envelope, make_result(status), attempt)
            case 6:
                await self.engine.upkeep.release(request_id, self.engine.owner)
            case 7:
                await store.take_back(envelope)
            case 8:
                if record and not record.terminal:
                    await self.engine.upkeep.end(record, make_result(Status.EXPIRED))
            case _:
                await store.take_over(envelope, self.engine.owner, make_slot())

    async def _begin(self) -> None:
        rng = self.rng
        envelope = make_envelope(
            id=new_request_id(),
            model=rng.choice(MODELS),
            tenant=rng.choice(TENANTS),
            priority=rng.choice(PRIORITIES),
            lane=rng.choice(list(Lane)),
        )
        self.requests[envelope.id] = (envelope, make_slot())
        if rng.random() < 0.8:
            await self.engine.store.create(envelope)
        else:  # its record is lost, and rebuilt from its message
            await self.engine.store.claim(envelope, make_slot())

    async def end(self) -> None:
        """Let none stay open."""
        await asyncio.gather(*(self.engine.store.cancel(each) for each in self.requests))


async def _assert_exact(engine: Process) -> None:
    counted: Counter[tuple[str, Priority, str]] = Counter()
    for model in MODELS:
        for priority, tenants in (await engine.store.waiting(model)).items():
            for tenant, count in tenants.items():
                assert count > 0
                counted[model, priority, tenant] = count
    assert counted == Counter(await _queued(engine))


async def _queued(engine: Process) -> list[tuple[str, Priority, str]]:
    selection = Selection(None, statuses=frozenset({Status.QUEUED}))
    found = await engine.store.select(selection, None, 1_000) or []
    return [(record.model, record.priority, record.tenant) for record in found]


async def _count(engine: Process) -> int:
    return (await engine.store.waiting("m")).get(NORMAL, {}).get("default", 0)
