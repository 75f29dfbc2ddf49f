"""Cancelling wherever the request is (PROTOCOL 5)."""

from __future__ import annotations

import asyncio

import pytest

from broker.claims import Done
from schemas.lifecycle import Status
from tests.conformance.stages import Process
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.results import make_result, make_slot


async def test_a_waiting_request_ends_at_once(engine: Process) -> None:
    envelope = await accepted(engine)
    record = await engine.store.cancel(envelope.id)
    assert record is not None
    assert record.status is Status.CANCELLED
    assert record.result is not None
    assert record.result.code == "cancelled"
    assert record == await record_of(engine, envelope)
    assert await engine.store.claim(envelope, make_slot()) == Done()


async def test_a_running_request_ends_at_once_and_its_run_can_do_nothing_more(
    engine: Process,
) -> None:
    envelope = await running(engine)
    record = await engine.store.cancel(envelope.id)
    assert record is not None
    assert record.status is Status.CANCELLED
    assert record.owner is None
    assert not await engine.store.requeue(envelope.next_generation(0.0), 1)
    assert not await engine.store.next_attempt(envelope.id, 1, make_slot())
    assert (await engine.store.statuses([envelope.id])) == {envelope.id: Status.CANCELLED}


async def test_a_parked_request_ends_at_once(engine: Process) -> None:
    envelope = await running(engine)
    copy = envelope.next_generation(not_before=envelope.deadline - 1)
    assert await engine.store.requeue(copy, 1)
    await engine.store.cancel(envelope.id)
    assert await engine.store.claim(copy, make_slot()) == Done()


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.EXPIRED])
async def test_an_ended_request_stays_as_it_is(engine: Process, status: Status) -> None:
    envelope, result = await running(engine), make_result(status)
    await engine.store.finish(envelope, result, 1)
    record = await engine.store.cancel(envelope.id)
    assert record is not None
    assert (record.status, record.result) == (status, result)


async def test_a_cancel_and_a_commit_at_once_leave_one_end(engine: Process) -> None:
    for _ in range(10):
        envelope = await running(engine)
        record, finish = await asyncio.gather(
            engine.store.cancel(envelope.id), engine.store.finish(envelope, make_result(), 1)
        )
        stored = await record_of(engine, envelope)
        assert record is not None
        assert stored.status == record.status
        assert finish.won == (stored.status is Status.COMPLETED)
