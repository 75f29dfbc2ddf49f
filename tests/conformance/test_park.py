"""Parking: a queued record waits for its booked turn, and says for what, until it is claimed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broker.claims import Done, Early, Run
from schemas.lifecycle import Status
from tests.conformance.stages import Process
from tests.conformance.steps import accepted, created, due, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

WHAT = "tpm of tenant acme"


async def test_a_parked_record_names_what_it_waits_for_and_until_when(engine: Process) -> None:
    envelope = await accepted(engine)
    copy = envelope.next_generation(time.time() + 50)
    for _ in range(2):
        assert await engine.store.park(copy, WHAT), "and the same step may be repeated"
        record = await record_of(engine, envelope)
        assert (record.status, record.generation) == (Status.QUEUED, 1)
        assert (record.parked_for, record.not_before) == (WHAT, copy.not_before)
    assert await engine.store.claim(envelope, make_slot()) == Done(), "its older copy"
    assert await engine.store.claim(copy, make_slot()) == Early(copy.not_before or 0)


async def test_the_claim_forgets_what_it_waited_for(engine: Process) -> None:
    envelope = await accepted(engine)
    copy = envelope.next_generation(time.time())
    assert await engine.store.park(copy, WHAT)
    assert await engine.store.claim(copy, make_slot()) == Run(1, 0)
    assert (await record_of(engine, envelope)).parked_for is None
    again = copy.next_generation(time.time())
    assert await engine.store.requeue(again, 1)
    assert (await record_of(engine, envelope)).parked_for is None


@pytest.mark.parametrize("end", ["cancel", "finish", "end"])
async def test_an_end_forgets_it_too(engine: Process, end: str) -> None:
    envelope = await accepted(engine)
    assert await engine.store.park(envelope.next_generation(time.time() + 50), WHAT)
    if end == "cancel":
        await engine.store.cancel(envelope.id)
    elif end == "finish":
        await engine.store.finish(envelope, make_result(), 0)
    else:
        await engine.upkeep.end(await record_of(engine, envelope), make_result(Status.EXPIRED))
    record = await record_of(engine, envelope)
    assert (record.terminal, record.parked_for) == (True, None)


async def test_only_what_waits_can_be_parked(engine: Process) -> None:
    runs = await running(engine)
    assert not await engine.store.park(runs.next_generation(time.time() + 50), WHAT)
    assert (await record_of(engine, runs)).status is Status.IN_PROGRESS
    await engine.store.cancel(runs.id)
    assert not await engine.store.park(runs.next_generation(time.time() + 50), WHAT)
    assert not await engine.store.park(make_envelope(), WHAT), "and nothing that is unknown"


async def test_parking_knows_only_one_way(engine: Process) -> None:
    envelope = await accepted(engine)
    newest = replace(envelope, generation=3, not_before=time.time() + 50)
    assert await engine.store.park(newest, WHAT)
    assert await engine.store.park(envelope.next_generation(time.time() + 5), "an older turn")
    record = await record_of(engine, envelope)
    assert (record.generation, record.parked_for) == (3, WHAT)
    assert record.not_before == newest.not_before


async def test_the_keeper_looks_at_a_parked_record_no_earlier_than_at_its_time(
    engine: Process,
) -> None:
    envelope = await created(engine, deadline=time.time() + 50, held_by=None)
    await engine.store.park(envelope.next_generation(time.time() + 20), WHAT)
    assert envelope.id not in await due(engine, envelope)
    assert (await record_of(engine, envelope)).published, "the copy is the proof"
    assert await engine.upkeep.unpublished(envelope.id) is None
