"""A request refused at its door (PROTOCOL 1): taken back for good, and what may take its place."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from broker.claims import Done, Run
from schemas.envelope import Envelope
from schemas.ids import partition_of
from schemas.lifecycle import Status
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import accepted, created, due, outbox, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

_SHORT_S = 0.3


async def test_a_create_still_on_its_way_finds_that_it_was_taken_back(engine: Process) -> None:
    envelope = make_envelope(tenant="acme")
    for _ in range(2):
        assert await engine.store.take_back(envelope), "it may be repeated"
    assert not await engine.store.create(envelope)
    record = await record_of(engine, envelope)
    assert (record.tenant, record.status) == ("acme", Status.FAILED)
    assert record.result is not None
    assert record.result.code == "not_accepted"
    assert await engine.upkeep.unpublished(envelope.id) is None
    assert await engine.store.claim(envelope, make_slot()) == Done()
    assert await outbox(engine) == [], "nobody was told a result"


async def test_nobody_looks_after_what_was_taken_back_unseen(engine: Process) -> None:
    envelope = make_envelope(deadline=time.time() - 1)
    assert await engine.store.take_back(envelope)
    assert await due(engine, envelope) == []
    assert await engine.upkeep.due(partition_of(envelope.id), 10) == []


async def test_it_stays_taken_back_until_its_deadline(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        unseen, seen = make_envelope(), await created(engine)
        for envelope in (unseen, seen):
            assert await engine.store.take_back(envelope)
        await asyncio.sleep(_SHORT_S + 0.1)
        await engine.upkeep.sweep()
        for envelope in (unseen, seen):
            assert await engine.store.get(envelope.id) is None
            assert not await engine.store.create(envelope)
            assert await engine.store.take_back(envelope)
            assert await engine.store.claim(envelope, make_slot()) == Done()


async def test_a_newer_create_takes_the_place_of_a_refused_one(engine: Process) -> None:
    first, newer = await _refused_and_newer(engine)
    assert await engine.store.create(newer)
    assert await engine.store.create(newer), "its answer was lost"
    record = await record_of(engine, newer)
    assert (record.status, record.generation, record.tenant) == (Status.QUEUED, 1, "again")
    assert (record.finished_at, record.expires_at, record.result) == (None, None, None)
    assert await engine.store.claim(first, make_slot()) == Done(), "a copy of the first publish"
    assert await engine.store.claim(newer, make_slot()) == Run(1, 0)
    assert (await engine.store.finish(newer, make_result(), 1)).won


async def test_a_newer_create_takes_it_after_the_retention_too(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        _, newer = await _refused_and_newer(engine)
        await asyncio.sleep(_SHORT_S + 0.1)
        await engine.upkeep.sweep()
        assert await engine.store.create(newer)
        await asyncio.sleep(_SHORT_S + 0.1)
        await engine.upkeep.sweep()
        assert (await record_of(engine, newer)).status is Status.QUEUED


async def test_what_took_its_place_is_not_taken_back_with_the_first(engine: Process) -> None:
    first, newer = await _refused_and_newer(engine)
    assert await engine.store.create(newer)
    assert await engine.store.take_back(first), "it was, and its door may say so"
    assert not await engine.store.create(first)
    assert (await record_of(engine, newer)).status is Status.QUEUED
    assert await engine.store.take_back(newer)
    assert (await record_of(engine, newer)).status is Status.FAILED


async def test_what_a_repeated_submission_has_made_is_not_taken_back_with_the_first(
    engine: Process,
) -> None:
    """The create of the first failed, unknown how; the second has the id, and may have told so."""
    first = make_envelope()
    again = replace(first, accepted_at=first.accepted_at + 1)
    assert await engine.store.create(again)
    assert await engine.store.take_back(first), "it never came to be, and its door may say so"
    assert (await record_of(engine, again)).status is Status.QUEUED
    assert await engine.store.claim(again, make_slot()) == Run(1, 0)
    assert await engine.store.take_back(first)
    assert (await record_of(engine, again)).status is Status.IN_PROGRESS


async def test_a_newer_create_still_on_its_way_is_taken_back_as_well(engine: Process) -> None:
    _, newer = await _refused_and_newer(engine)
    assert await engine.store.take_back(newer)
    assert not await engine.store.create(newer)
    assert await engine.store.create(replace(newer, generation=2))


async def test_no_other_end_is_replaced(engine: Process) -> None:
    cancelled, failed = await accepted(engine), await running(engine)
    await engine.store.cancel(cancelled.id)
    assert (await engine.store.finish(failed, make_result(Status.FAILED), 1)).won
    for envelope in (cancelled, failed):
        before = await record_of(engine, envelope)
        assert not await engine.store.create(replace(envelope, generation=1))
        assert not await engine.store.take_back(replace(envelope, generation=1))
        assert await record_of(engine, envelope) == before


async def _refused_and_newer(engine: Process) -> tuple[Envelope, Envelope]:
    first = await created(engine)
    assert await engine.store.take_back(first)
    assert not await engine.store.create(first)
    return first, replace(first, generation=1, tenant="again")
