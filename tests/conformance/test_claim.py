"""The claim's table, row by row (PROTOCOL 3), and the next attempt."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from broker.claims import Done, Early, Late, Run, Running
from schemas.lifecycle import Status
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot


async def test_a_waiting_request_runs(engine: Process) -> None:
    envelope = await accepted(engine)
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
    record = await record_of(engine, envelope)
    assert record.status is Status.IN_PROGRESS
    assert (record.owner, record.attempt) == (engine.owner, 1)
    assert record.started_at is not None
    assert abs(record.started_at - time.time()) < 5


async def test_a_missing_record_is_rebuilt_from_the_message_and_runs(engine: Process) -> None:
    envelope = make_envelope(
        tenant="acme", generation=3, stream=True, reply_to="amq.gen-x", metadata={"k": "v"}
    )
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
    record = await record_of(engine, envelope)
    assert (record.tenant, record.generation) == ("acme", 3)
    assert (record.stream, record.restart) == (True, False)
    assert (record.reply_to, record.webhook) == ("amq.gen-x", None)
    assert record.metadata == {"k": "v"}
    assert record.published


async def test_a_missing_record_past_its_deadline_is_late_and_stays_missing(
    engine: Process,
) -> None:
    envelope = make_envelope(deadline=time.time() - 1)
    assert await engine.store.claim(envelope, make_slot()) == Late(0)
    assert await engine.store.get(envelope.id) is None


async def test_a_missing_record_waits_for_its_time(engine: Process) -> None:
    envelope = make_envelope(not_before=time.time() + 60)
    assert isinstance(await engine.store.claim(envelope, make_slot()), Early)


async def test_an_older_copy_is_done(engine: Process) -> None:
    envelope = await accepted(engine, generation=2)
    assert await engine.store.claim(replace(envelope, generation=1), make_slot()) == Done()
    assert (await record_of(engine, envelope)).status is Status.QUEUED


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.EXPIRED])
async def test_an_ended_request_is_done_whatever_the_copy(engine: Process, status: Status) -> None:
    envelope = await running(engine)
    assert (await engine.store.finish(envelope, make_result(status), 1)).won
    for generation in (0, 5):
        copy = replace(envelope, generation=generation)
        assert await engine.store.claim(copy, make_slot()) == Done()
    assert (await record_of(engine, envelope)).status is status


async def test_a_newer_copy_runs_and_the_record_takes_its_generation(engine: Process) -> None:
    envelope = await accepted(engine)
    newer = envelope.next_generation(not_before=time.time() - 1)
    assert await engine.store.claim(newer, make_slot()) == Run(1, 0)
    assert (await record_of(engine, envelope)).generation == 1
    assert await engine.store.claim(envelope, make_slot()) == Done()


async def test_what_runs_is_running_and_says_for_whom(engine: Process) -> None:
    envelope = await running(engine)
    same = await engine.store.claim(envelope, make_slot())
    assert same == Running(engine.owner, attempt=1, same_generation=True, poison=0)
    newer = await engine.store.claim(envelope.next_generation(0.0), make_slot())
    assert newer == Running(engine.owner, attempt=1, same_generation=False, poison=0)
    assert (await record_of(engine, envelope)).generation == 0


async def test_what_runs_past_its_deadline_is_its_owners_to_end(engine: Process) -> None:
    envelope = await running(engine, deadline=time.time() + 0.3)
    await asyncio.sleep(0.35)
    assert isinstance(await engine.store.claim(envelope, make_slot()), Running)


async def test_a_claim_whose_answer_was_lost_gets_it_again(engine: Process) -> None:
    envelope, slot = await accepted(engine), make_slot()
    assert await engine.store.claim(envelope, slot) == Run(1, 0)
    assert await engine.store.claim(envelope, slot) == Run(1, 0)
    assert (await record_of(engine, envelope)).attempt == 1


async def test_of_many_claims_one_runs(engine: Process) -> None:
    envelope = await accepted(engine)
    claims = [engine.store.claim(envelope, make_slot()) for _ in range(8)]
    answers = await asyncio.gather(*claims)
    assert sorted(type(answer).__name__ for answer in answers) == ["Run"] + ["Running"] * 7


async def test_past_the_deadline_it_is_late_and_nothing_changes(engine: Process) -> None:
    envelope = await accepted(engine, deadline=time.time() - 1)
    assert await engine.store.claim(envelope, make_slot()) == Late(0)
    assert (await record_of(engine, envelope)).status is Status.QUEUED


async def test_late_names_the_attempt_that_a_commit_needs(engine: Process) -> None:
    envelope = await running(engine, deadline=time.time() + 0.3)
    copy = envelope.next_generation(0.0)
    assert await engine.store.requeue(copy, 1)
    await asyncio.sleep(0.35)
    late = await engine.store.claim(copy, make_slot())
    assert late == Late(1)
    assert (await engine.store.finish(copy, make_result(Status.EXPIRED), late.attempt)).won


async def test_before_its_time_it_is_early_and_nothing_changes(engine: Process) -> None:
    start = time.time() + 60
    envelope = await accepted(engine, not_before=start)
    answer = await engine.store.claim(envelope, make_slot())
    assert isinstance(answer, Early)
    assert answer.not_before == pytest.approx(start, abs=0.001)
    assert (await record_of(engine, envelope)).status is Status.QUEUED


async def test_a_time_that_has_come_is_no_hindrance(engine: Process) -> None:
    envelope = await accepted(engine, not_before=time.time() - 0.01)
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)


async def test_a_newer_copy_brings_its_own_time(engine: Process) -> None:
    envelope = await accepted(engine)
    start = time.time() + 60
    answer = await engine.store.claim(envelope.next_generation(not_before=start), make_slot())
    assert isinstance(answer, Early)
    assert answer.not_before == pytest.approx(start, abs=0.001)
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)


async def test_the_next_attempt_is_written_once(engine: Process) -> None:
    envelope, second = await running(engine), make_slot("gpu-b")
    assert await engine.store.next_attempt(envelope.id, 1, second)
    assert await engine.store.next_attempt(envelope.id, 1, second), "its answer was lost"
    assert (await record_of(engine, envelope)).attempt == 2
    assert not await engine.store.next_attempt(envelope.id, 1, make_slot())
    assert not await engine.store.next_attempt(envelope.id, 7, make_slot())
    assert (await record_of(engine, envelope)).attempt == 2


async def test_no_next_attempt_for_what_does_not_run(engine: Process) -> None:
    envelope = await accepted(engine)
    assert not await engine.store.next_attempt(envelope.id, 0, make_slot())
    ended = await running(engine)
    await engine.store.cancel(ended.id)
    assert not await engine.store.next_attempt(ended.id, 1, make_slot())


@two_processes
async def test_what_another_process_runs_is_running_there(engine: Process, other: Process) -> None:
    envelope = await running(engine)
    answer = await other.store.claim(envelope, make_slot())
    assert answer == Running(engine.owner, attempt=1, same_generation=True, poison=0)
    assert not await other.store.next_attempt(envelope.id, 1, make_slot())


@two_processes
async def test_of_two_processes_one_runs_each(engine: Process, other: Process) -> None:
    envelopes = [await accepted(engine) for _ in range(20)]
    claims = [
        process.store.claim(envelope, make_slot())
        for envelope in envelopes
        for process in (engine, other)
    ]
    answers = await asyncio.gather(*claims)
    assert sum(isinstance(answer, Run) for answer in answers) == len(envelopes)
