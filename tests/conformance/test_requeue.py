"""Going back to wait (PROTOCOL 5): a retry, a parking, a drain."""

from __future__ import annotations

import time

import pytest

from broker.claims import Done, Early, Run
from schemas.lifecycle import Status
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.results import make_slot


async def test_a_retry_waits_as_its_copy_says(engine: Process) -> None:
    envelope = await running(engine)
    copy = envelope.next_generation(not_before=time.time() + 60)
    assert await engine.store.requeue(copy, 1)
    record = await record_of(engine, envelope)
    assert (record.status, record.owner) == (Status.QUEUED, None)
    assert (record.generation, record.attempt, record.poison) == (1, 1, 0)
    assert record.not_before == pytest.approx(copy.not_before, abs=0.001)
    assert isinstance(await engine.store.claim(copy, make_slot()), Early)


async def test_only_the_newer_copy_runs_and_attempts_count_on(engine: Process) -> None:
    envelope = await running(engine)
    copy = envelope.next_generation(0.0)
    assert await engine.store.requeue(copy, 1)
    assert await engine.store.claim(envelope, make_slot()) == Done()
    assert await engine.store.claim(copy, make_slot()) == Run(2, 0)


async def test_a_drain_gives_the_same_copy_back(engine: Process) -> None:
    envelope = await running(engine)
    assert await engine.store.requeue(envelope, 1)
    assert await engine.store.claim(envelope, make_slot()) == Run(2, 0)


async def test_it_may_be_repeated(engine: Process) -> None:
    envelope = await running(engine)
    copy = envelope.next_generation(0.0)
    assert await engine.store.requeue(copy, 1)
    assert await engine.store.requeue(copy, 1)
    assert (await record_of(engine, envelope)).generation == 1


async def test_another_attempt_is_not_requeued(engine: Process) -> None:
    envelope = await running(engine)
    assert await engine.store.next_attempt(envelope.id, 1, make_slot())
    assert not await engine.store.requeue(envelope.next_generation(0.0), 1)
    assert (await record_of(engine, envelope)).status is Status.IN_PROGRESS


async def test_what_does_not_run_is_not_requeued(engine: Process) -> None:
    envelope = await accepted(engine)
    assert not await engine.store.requeue(envelope.next_generation(0.0), 0)
    assert (await record_of(engine, envelope)).generation == 0


@two_processes
async def test_another_process_cannot_requeue_it(engine: Process, other: Process) -> None:
    envelope = await running(engine)
    assert not await other.store.requeue(envelope.next_generation(0.0), 1)
    assert (await record_of(engine, envelope)).status is Status.IN_PROGRESS
