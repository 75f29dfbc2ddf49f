"""Waiting for the end of a request: woken by the commit, not by a poll."""

from __future__ import annotations

import asyncio
import time

from schemas.ids import new_request_id
from schemas.lifecycle import Status
from schemas.record import Record
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, running
from tests.fakes.results import make_result

# A woken waiter is here in milliseconds; a polling one would need its whole interval.
_PROMPT_S = 1.5


async def test_an_ended_request_is_returned_at_once(engine: Process) -> None:
    envelope = await running(engine)
    await engine.store.finish(envelope, make_result(), 1)
    async with asyncio.timeout(_PROMPT_S):
        record = await engine.store.wait(envelope.id, 30)
    assert record is not None
    assert record.terminal


async def test_an_unknown_request_is_nothing_at_once(engine: Process) -> None:
    async with asyncio.timeout(_PROMPT_S):
        assert await engine.store.wait(new_request_id(), 30) is None


async def test_after_the_time_the_record_is_as_it_is(engine: Process) -> None:
    envelope = await accepted(engine)
    began = time.monotonic()
    record = await engine.store.wait(envelope.id, 0.3)
    assert 0.25 < time.monotonic() - began < 2
    assert record is not None
    assert record.status is Status.QUEUED


async def test_a_commit_wakes_all_who_wait(engine: Process) -> None:
    envelope, result = await running(engine), make_result()
    waiting = [asyncio.create_task(engine.store.wait(envelope.id, 30)) for _ in range(5)]
    await _until_waiting(waiting)
    await engine.store.finish(envelope, result, 1)
    async with asyncio.timeout(_PROMPT_S):
        records = await asyncio.gather(*waiting)
    assert all(record is not None and record.result == result for record in records)


async def test_a_cancel_wakes_too(engine: Process) -> None:
    envelope = await accepted(engine)
    waiting = asyncio.create_task(engine.store.wait(envelope.id, 30))
    await _until_waiting([waiting])
    await engine.store.cancel(envelope.id)
    async with asyncio.timeout(_PROMPT_S):
        record = await waiting
    assert record is not None
    assert record.status is Status.CANCELLED


async def test_a_retry_does_not_wake(engine: Process) -> None:
    envelope = await running(engine)
    waiting = asyncio.create_task(engine.store.wait(envelope.id, 0.4))
    await _until_waiting([waiting])
    began = time.monotonic()
    await engine.store.requeue(envelope.next_generation(0.0), 1)
    record = await waiting
    assert time.monotonic() - began > 0.1
    assert record is not None
    assert record.status is Status.QUEUED


async def test_who_gives_up_waiting_disturbs_nobody(engine: Process) -> None:
    envelope = await running(engine)
    waiting = [asyncio.create_task(engine.store.wait(envelope.id, 30)) for _ in range(2)]
    await _until_waiting(waiting)
    waiting[0].cancel()
    await engine.store.finish(envelope, make_result(), 1)
    async with asyncio.timeout(_PROMPT_S):
        record = await waiting[1]
    assert record is not None
    assert record.terminal


@two_processes
async def test_a_commit_elsewhere_wakes_here(engine: Process, other: Process) -> None:
    envelope = await running(engine)
    waiting = asyncio.create_task(other.store.wait(envelope.id, 30))
    await _until_waiting([waiting])
    await engine.store.finish(envelope, make_result(), 1)
    # The subscription may still be on its way; then the waiter looks for itself after 2 s.
    async with asyncio.timeout(5):
        record = await waiting
    assert record is not None
    assert record.terminal


async def _until_waiting(waiting: list[asyncio.Task[Record | None]]) -> None:
    """Give the waiters time to register; an early one would only make the test easier."""
    await asyncio.sleep(0.2)
    assert not any(task.done() for task in waiting)
