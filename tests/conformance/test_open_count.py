"""How many requests of a tenant are open: exact through every way in and out, zero at rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from schemas.envelope import Envelope
from schemas.lifecycle import Status
from tests.conformance.stages import Process
from tests.conformance.steps import accepted, created, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot


async def test_a_request_counts_while_it_is_open(engine: Process) -> None:
    assert await _count(engine) == 0
    envelope = await accepted(engine)
    assert await _count(engine) == 1
    await engine.store.claim(envelope, make_slot())
    await engine.store.requeue(envelope.next_generation(0.0), 1)
    assert await _count(engine) == 1
    await engine.store.cancel(envelope.id)
    assert await _count(engine) == 0


async def test_each_tenant_has_its_own_count(engine: Process) -> None:
    await asyncio.gather(*(accepted(engine, tenant=name) for name in ("a", "a", "b")))
    counts = [await engine.store.open_count(name) for name in ("a", "b", "c")]
    assert counts == [2, 1, 0]


async def test_no_repeated_step_counts_twice(engine: Process) -> None:
    envelope, result = make_envelope(), make_result()
    for _ in range(3):
        await engine.store.create(envelope)
        await engine.store.create(replace(envelope, body=b"{}"))
        assert await _count(engine) == 1
    await engine.store.claim(envelope, make_slot())
    for _ in range(3):
        await engine.store.finish(envelope, result, 1)
        await engine.store.cancel(envelope.id)
        await engine.store.take_back(envelope)
        assert await _count(engine) == 0


async def test_a_refused_request_does_not_count_but_the_one_in_its_place_does(
    engine: Process,
) -> None:
    envelope = await created(engine)
    assert await engine.store.take_back(envelope)
    assert await _count(engine) == 0
    assert await engine.store.take_back(make_envelope()), "its create is still on its way"
    assert await _count(engine) == 0
    assert await engine.store.create(replace(envelope, generation=1))
    assert await _count(engine) == 1


async def test_a_rebuilt_request_counts_too(engine: Process) -> None:
    envelope = make_envelope()
    await engine.store.claim(envelope, make_slot())
    assert await _count(engine) == 1
    await engine.store.finish(envelope, make_result(), 1)
    assert (await engine.store.finish(make_envelope(), make_result(), 1)).won
    assert await _count(engine) == 0


async def test_what_the_keeper_moves_is_counted_as_well(engine: Process) -> None:
    released, ended = await running(engine), await running(engine)
    assert await engine.upkeep.release(released.id, engine.owner)
    assert await _count(engine) == 2
    assert await engine.upkeep.end(await record_of(engine, ended), make_result(Status.EXPIRED))
    assert await _count(engine) == 1


async def test_many_lives_at_once_leave_nothing_behind(engine: Process) -> None:
    async def live(envelope: Envelope) -> None:
        await engine.store.create(envelope)
        await engine.store.claim(envelope, make_slot())
        await asyncio.gather(
            engine.store.cancel(envelope.id), engine.store.finish(envelope, make_result(), 1)
        )

    await asyncio.gather(*(live(make_envelope()) for _ in range(50)))
    assert await _count(engine) == 0


async def _count(engine: Process) -> int:
    return await engine.store.open_count("default")
