"""The one commit point (PROTOCOL 4): who wins, what is stored, what a loser is told."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from broker.claims import Finish, Run
from schemas.lifecycle import Status
from schemas.result import Usage
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot


async def test_a_commit_stores_the_result_as_it_is(engine: Process) -> None:
    envelope = await running(engine)
    result = make_result(
        body=os.urandom(300_000),
        content_type="text/plain; charset=utf-8",
        usage=Usage(7, 11, 18),
        backend="gpu-a",
        backend_model="big",
    )
    assert await engine.store.finish(envelope, result, 1, make_slot()) == Finish(True, result)
    record = await record_of(engine, envelope)
    assert record.status is Status.COMPLETED
    assert record.result == result
    assert record.owner is None
    assert record.finished_at == pytest.approx(result.finished_at, abs=0.001)
    assert record.expires_at is not None
    assert record.expires_at == pytest.approx(time.time() + 60, abs=10)


async def test_the_same_commit_again_has_won(engine: Process) -> None:
    envelope, result = await running(engine), make_result()
    for _ in range(2):
        assert await engine.store.finish(envelope, result, 1) == Finish(True, result)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.EXPIRED])
async def test_a_second_result_loses_and_is_told_the_first(engine: Process, status: Status) -> None:
    envelope, first = await running(engine), make_result(status)
    await engine.store.finish(envelope, first, 1)
    second = make_result(body=b"another")
    assert await engine.store.finish(envelope, second, 2) == Finish(False, first)
    assert (await record_of(engine, envelope)).result == first


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.EXPIRED])
async def test_a_missing_record_is_recreated_by_its_commit(engine: Process, status: Status) -> None:
    envelope, result = make_envelope(tenant="acme"), make_result(status)
    assert await engine.store.finish(envelope, result, 4) == Finish(True, result)
    record = await record_of(engine, envelope)
    assert (record.tenant, record.status, record.result) == ("acme", status, result)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.EXPIRED])
async def test_an_older_attempt_loses_to_one_that_runs(engine: Process, status: Status) -> None:
    envelope = await running(engine)
    assert await engine.store.next_attempt(envelope.id, 1, make_slot())
    assert await engine.store.finish(envelope, make_result(status), 1) == Finish(False, None)
    assert (await record_of(engine, envelope)).status is Status.IN_PROGRESS


async def test_a_success_may_run_ahead_of_its_record_but_a_failure_may_not(
    engine: Process,
) -> None:
    envelope = await running(engine)
    failure = make_result(Status.FAILED)
    assert await engine.store.finish(envelope, failure, 2) == Finish(False, None)
    assert (await engine.store.finish(envelope, make_result(), 2)).won


async def test_a_failure_of_the_current_attempt_wins(engine: Process) -> None:
    envelope = await running(engine)
    assert (await engine.store.finish(envelope, make_result(Status.FAILED), 1)).won


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
async def test_a_commit_wins_over_a_record_that_waits_again(
    engine: Process, status: Status
) -> None:
    envelope = await running(engine)
    assert await engine.store.requeue(envelope.next_generation(0.0), 1)
    assert (await engine.store.finish(envelope, make_result(status), 1)).won


async def test_a_waiting_request_can_be_ended_without_an_attempt(engine: Process) -> None:
    envelope = await accepted(engine)
    result = make_result(Status.FAILED, code="model_removed")
    assert (await engine.store.finish(envelope, result, 0)).won


async def test_a_commit_after_a_cancel_is_told_the_cancel(engine: Process) -> None:
    envelope = await running(engine)
    await engine.store.cancel(envelope.id)
    finish = await engine.store.finish(envelope, make_result(), 1)
    assert not finish.won
    assert finish.result is not None
    assert finish.result.status is Status.CANCELLED


async def test_of_many_commits_one_wins_and_all_are_told_it(engine: Process) -> None:
    envelope = await running(engine)
    results = [make_result(body=b"%d" % number) for number in range(8)]
    commits = [engine.store.finish(envelope, result, 1) for result in results]
    finishes = await asyncio.gather(*commits)
    assert sum(finish.won for finish in finishes) == 1
    stored = (await record_of(engine, envelope)).result
    assert stored in results
    assert all(finish.result == stored for finish in finishes)


async def test_a_dead_letter_is_a_failed_request(engine: Process) -> None:
    envelope = await running(engine)
    result = make_result(Status.FAILED, code="attempts_exhausted")
    assert (await engine.store.finish(envelope, result, 1, keep_envelope=True)).won
    assert (await record_of(engine, envelope)).result == result


@two_processes
async def test_a_process_that_lost_its_run_cannot_fail_it(engine: Process, other: Process) -> None:
    envelope = await running(engine)
    assert await other.store.take_over(envelope, engine.owner, make_slot()) == Run(2, 0)
    assert not (await engine.store.finish(envelope, make_result(Status.FAILED), 1)).won
    assert (await other.store.finish(envelope, make_result(), 2)).won
