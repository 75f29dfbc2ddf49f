"""What the keeper reads and moves (PROTOCOL 6)."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broker.claims import Run
from schemas.ids import new_request_id, partition_of
from schemas.lifecycle import Status
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, due, record_of, running
from tests.fakes.results import make_result, make_slot


async def test_a_request_past_its_deadline_is_due(engine: Process) -> None:
    envelope = await accepted(engine, deadline=time.time() - 1)
    records = await engine.upkeep.due(partition_of(envelope.id), 10)
    assert records == [await record_of(engine, envelope)]
    elsewhere = (partition_of(envelope.id) + 1) % 16
    assert await engine.upkeep.due(elsewhere, 10) == []


async def test_what_is_well_is_not_due(engine: Process) -> None:
    for envelope in (
        await accepted(engine),
        await accepted(engine, held_by="api:1"),
        await running(engine),
    ):
        assert envelope.id not in await due(engine, envelope)


async def test_the_most_overdue_come_first(engine: Process) -> None:
    base, now = new_request_id()[:-1], time.time()
    ages = {"a": 3.0, "b": 30.0, "c": 10.0}
    for digit, age in ages.items():
        await accepted(engine, id=base + digit, deadline=now - age)
    partition = partition_of(base + "a")
    first = await engine.upkeep.due(partition, 2)
    assert [record.id for record in first] == [base + "b", base + "c"]


async def test_the_keeper_says_when_it_looks_again(engine: Process) -> None:
    envelope = await running(engine)
    await engine.upkeep.check_again(envelope.id, time.time() - 1)
    assert envelope.id in await due(engine, envelope)
    await engine.upkeep.check_again(envelope.id, time.time() + 60)
    assert envelope.id not in await due(engine, envelope)


async def test_a_step_of_the_record_sets_the_next_look(engine: Process) -> None:
    envelope = await accepted(engine, deadline=time.time() + 60)
    await engine.upkeep.check_again(envelope.id, time.time() - 1)
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
    assert envelope.id not in await due(engine, envelope)


async def test_an_ended_request_is_never_due_again(engine: Process) -> None:
    envelope = await accepted(engine, deadline=time.time() - 1)
    await engine.store.cancel(envelope.id)
    await engine.upkeep.check_again(envelope.id, time.time() - 1)
    assert envelope.id not in await due(engine, envelope)
    assert (await record_of(engine, envelope)).status is Status.CANCELLED


async def test_a_partition_is_held_again_and_again(engine: Process) -> None:
    assert await engine.upkeep.hold(3)
    assert await engine.upkeep.hold(3)


async def test_the_run_of_a_dead_owner_waits_again(engine: Process) -> None:
    envelope = await running(engine)
    assert not await engine.upkeep.release(envelope.id, "dead:1"), "it is not that one's"
    assert await engine.upkeep.release(envelope.id, engine.owner)
    record = await record_of(engine, envelope)
    assert (record.status, record.owner) == (Status.QUEUED, None)
    assert (record.attempt, record.poison, record.generation) == (1, 0, 0)
    assert await engine.store.claim(envelope, make_slot()) == Run(2, 0)


async def test_its_death_counts_as_poison_if_it_was_witnessed(engine: Process) -> None:
    envelope = await running(engine)
    await engine.store.witness([envelope.id])
    assert await engine.upkeep.release(envelope.id, engine.owner)
    assert await engine.store.claim(envelope, make_slot()) == Run(2, 1)


async def test_what_does_not_run_is_not_released(engine: Process) -> None:
    envelope = await accepted(engine)
    assert not await engine.upkeep.release(envelope.id, engine.owner)
    assert not await engine.upkeep.release(new_request_id(), engine.owner)


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.CANCELLED, Status.FAILED])
async def test_the_keeper_ends_what_is_as_it_saw_it(engine: Process, status: Status) -> None:
    envelope = await accepted(engine)
    seen, result = await record_of(engine, envelope), make_result(status, code="copy_lost")
    assert await engine.upkeep.end(seen, result)
    assert await engine.upkeep.end(seen, result), "it may be repeated"
    record = await record_of(engine, envelope)
    assert (record.status, record.result) == (status, result)


async def test_it_ends_nothing_that_has_moved_since(engine: Process) -> None:
    envelope = await accepted(engine)
    seen, result = await record_of(engine, envelope), make_result(Status.EXPIRED)
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
    assert not await engine.upkeep.end(seen, result)
    runs = await record_of(engine, envelope)
    assert not await engine.upkeep.end(replace(runs, owner="another:1"), result)
    assert not await engine.upkeep.end(replace(runs, attempt=7), result)
    assert (await record_of(engine, envelope)).status is Status.IN_PROGRESS
    assert await engine.upkeep.end(runs, result)


async def test_it_ends_nothing_that_another_process_holds_since(engine: Process) -> None:
    envelope = await accepted(engine, held_by="dead:1")
    seen = await record_of(engine, envelope)
    assert await engine.store.hold(envelope.id, "api:2")
    assert not await engine.upkeep.end(seen, make_result(Status.CANCELLED))
    assert (await record_of(engine, envelope)).status is Status.QUEUED
    assert await engine.upkeep.end(await record_of(engine, envelope), make_result(Status.EXPIRED))


@two_processes
async def test_one_process_holds_a_partition(engine: Process, other: Process) -> None:
    assert await engine.upkeep.hold(3)
    assert not await other.upkeep.hold(3)
    assert await other.upkeep.hold(4)
