"""`on_ended`: a worker is told when its running request was ended by another, and only then."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from broker.claims import Run
from schemas.lifecycle import Status
from tests.conformance.stages import Process
from tests.conformance.steps import record_of, running
from tests.fakes.results import make_result, make_slot


async def told_of(told: list[str], request_id: str) -> bool:
    """Wait a moment for the news."""
    for _ in range(100):
        if request_id in told:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_cancel_reaches_the_worker_that_runs_it(engine: Process) -> None:
    told: list[str] = []
    engine.store.on_ended(told.append)
    envelope = await running(engine)
    await engine.store.cancel(envelope.id)
    assert await told_of(told, envelope.id)


async def test_an_end_that_came_too_late_is_not_told(engine: Process) -> None:
    """The keeper's and a loser's: the run goes on, so nobody may drop its call."""
    told: list[str] = []
    engine.store.on_ended(told.append)
    envelope = await running(engine)
    seen_before = replace(await record_of(engine, envelope), attempt=0)
    assert not await engine.upkeep.end(seen_before, make_result(Status.CANCELLED))
    assert await engine.store.next_attempt(envelope.id, 1, make_slot())
    lost = await engine.store.finish(envelope, make_result(Status.FAILED), 1)
    assert not lost.won
    assert not await engine.store.take_back(envelope)
    last = await running(engine)
    await engine.store.cancel(last.id)
    assert await told_of(told, last.id)
    assert envelope.id not in told


async def test_a_death_counts_as_poison_only_for_a_witnessed_run(engine: Process) -> None:
    unseen, seen = await running(engine), await running(engine)
    assert await engine.store.witness([seen.id]) == {seen.id: Status.IN_PROGRESS}
    for envelope in (unseen, seen):
        owner = (await record_of(engine, envelope)).owner
        assert owner is not None
        assert await engine.upkeep.release(envelope.id, owner)
    assert await engine.store.claim(unseen, make_slot()) == Run(2, 0)
    assert await engine.store.claim(seen, make_slot()) == Run(2, 1)
