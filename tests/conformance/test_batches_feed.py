"""Feeding: each line becomes a request once, however often it is fed and by whomever."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broker.claims import Done, Run
from broker.ports import FileSelection, Selection
from schemas.batches import BatchStatus, Cursor
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from tests.conformance.batch_steps import (
    by_cancel,
    by_commit,
    ended_lines,
    fed,
    fed_and_ended,
    gathered,
    held,
    in_progress,
    known,
    moved,
    taken_over,
)
from tests.conformance.stages import Process, QueueProcess
from tests.conformance.steps import due, eventually, outbox, record_of
from tests.fakes.batches import make_line
from tests.fakes.results import make_slot


async def test_a_new_line_becomes_a_request(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 3, lane=Lane.FLOOD)
    assert list(await engine.batches.feed(run.batch.id, run.token, [line]) or ()) == [True]
    record = await record_of(engine, line)
    assert (record.batch, record.line, record.quiet) == (run.batch.id, 3, True)
    assert (record.tenant, record.model, record.priority) == ("acme", "m", Priority.BATCH)
    assert (record.status, record.attempt, record.published) == (Status.QUEUED, 0, True)
    assert record.metadata == {"batch_id": run.batch.id, "custom_id": "line 3"}
    assert record.deadline == pytest.approx(run.batch.terms.deadline)
    assert await engine.upkeep.unpublished(line.id) is None
    assert await engine.store.open_count("acme") == 1
    assert await engine.store.waiting("m") == {Priority.BATCH: {"acme": 1}}
    assert await engine.store.claim(line, make_slot()) == Run(1, 0)


async def test_the_keeper_finds_it_as_any_request(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 0, deadline=time.time() - 1)
    assert await engine.batches.feed(run.batch.id, run.token, [line]) is not None
    assert await due(engine, line) == [line.id]


async def test_lines_are_in_no_list(engine: Process) -> None:
    run = await in_progress(engine)
    await fed(engine, run, 0, 1)
    await fed_and_ended(engine, run, 2)
    for tenant in ("acme", None):
        assert await engine.store.select(Selection(tenant), None, 10) == []
    assert await engine.files.select(FileSelection("acme"), None, 10) == []


async def test_one_that_nobody_has_claimed_is_published_again(engine: Process) -> None:
    run = await in_progress(engine)
    lines = await fed(engine, run, 0, 1)
    for _ in range(2):
        assert list(await engine.batches.feed(run.batch.id, run.token, lines) or ()) == [True, True]
    new = await taken_over(engine, run)
    more = [*lines, make_line(run.batch, 2)]
    assert list(await engine.batches.feed(run.batch.id, new.token, more) or ()) == [True] * 3
    assert await engine.store.open_count("acme") == 3
    assert await engine.store.waiting("m") == {Priority.BATCH: {"acme": 3}}


async def test_one_that_runs_or_has_ended_is_not(engine: Process) -> None:
    run = await in_progress(engine)
    lines = await fed(engine, run, 0, 1, 2, 3)
    assert await engine.store.claim(lines[0], make_slot()) == Run(1, 0)
    await by_commit(engine, lines[1])
    await by_cancel(engine, lines[2])
    flags = await engine.batches.feed(run.batch.id, run.token, lines)
    assert list(flags or ()) == [False, False, False, True]
    assert (await record_of(engine, lines[0])).status is Status.IN_PROGRESS
    assert await ended_lines(engine, run.batch) == [1, 2]


async def test_nor_is_one_that_waits_for_another_try(engine: Process) -> None:
    run = await in_progress(engine)
    (line,) = await fed(engine, run, 0)
    assert await engine.store.claim(line, make_slot()) == Run(1, 0)
    assert await engine.store.requeue(line.next_generation(time.time() + 60), 1)
    assert list(await engine.batches.feed(run.batch.id, run.token, [line]) or ()) == [False]
    assert (await record_of(engine, line)).generation == 1


async def test_nor_one_whose_record_is_gone(engine: Process) -> None:
    run = await in_progress(engine)
    (line,) = await fed_and_ended(engine, run, 0)
    assert await gathered(engine, run, 0)
    assert await engine.store.get(line.id) is None
    new = await taken_over(engine, run)
    assert list(await engine.batches.feed(run.batch.id, new.token, [line]) or ()) == [False]
    assert await engine.store.get(line.id) is None
    assert await engine.store.claim(line, make_slot()) == Done()
    assert await engine.store.open_count("acme") == 0


async def test_lines_far_apart_do_not_meet(engine: Process) -> None:
    run = await in_progress(engine, total=1_000_000)
    far = [0, 7, 8, 4_095, 4_096, 65_535, 999_999]
    await fed_and_ended(engine, run, *far)
    near = sorted({each + way for each in far for way in (-1, 1)} - {-1, *far})
    await fed(engine, run, *near)
    again = [make_line(run.batch, each) for each in far]
    assert not any(await engine.batches.feed(run.batch.id, run.token, again) or [True])


@pytest.mark.parametrize(
    "status",
    [BatchStatus.FINALIZING, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLING],
)
async def test_only_a_batch_in_progress_is_fed(engine: Process, status: BatchStatus) -> None:
    run = await in_progress(engine)
    await moved(engine, run, status)
    line = make_line(run.batch, 0)
    assert await engine.batches.feed(run.batch.id, run.token, [line]) is None
    assert await engine.store.get(line.id) is None


async def test_nor_one_that_still_validates(engine: Process) -> None:
    run = await held(engine)
    assert await engine.batches.feed(run.batch.id, run.token, [make_line(run.batch, 0)]) is None


async def test_a_paused_one_rests(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 0)
    await engine.batches.pause(run.batch.id, paused=True)
    assert await engine.batches.feed(run.batch.id, run.token, [line]) is None
    assert await engine.store.get(line.id) is None
    await engine.batches.pause(run.batch.id, paused=False)
    assert list(await engine.batches.feed(run.batch.id, run.token, [line]) or ()) == [True]


async def test_how_far_it_was_fed(engine: Process) -> None:
    run = await in_progress(engine)
    cursor = Cursor(100, 5_000_000_000, 130)
    for _ in range(2):
        assert await engine.batches.fed(run.batch.id, run.token, cursor)
    assert (await known(engine, run.batch)).fed == cursor
    await engine.batches.cancel(run.batch.id, time.time())
    further = replace(cursor, line=101)
    assert await engine.batches.fed(run.batch.id, run.token, further), "its confirms still count"
    assert (await known(engine, run.batch)).fed == further


async def test_how_many_were_made_is_known_before_they_are_confirmed(engine: Process) -> None:
    run = await in_progress(engine)
    await fed(engine, run, 0, 1, 2)
    await engine.batches.fed(run.batch.id, run.token, Cursor(2, 20, 2))
    new = await taken_over(engine, run)
    assert (new.batch.made, new.batch.fed.line) == (3, 2)
    again = [make_line(run.batch, 2)]
    assert await engine.batches.feed(run.batch.id, new.token, again) is not None
    assert (await known(engine, run.batch)).made == 3


async def test_what_has_not_ended_is_known(engine: Process) -> None:
    run = await in_progress(engine)
    lines = await fed(engine, run, 0, 1, 2, 3, 4)
    await engine.batches.fed(run.batch.id, run.token, Cursor(4, 40, 4))
    assert await engine.store.claim(lines[0], make_slot()) == Run(1, 0)
    await by_commit(engine, lines[1])
    await by_commit(engine, lines[2])
    assert await gathered(engine, run, 1)
    assert sorted(await engine.batches.unended(run.batch.id)) == [0, 3, 4]
    assert list(await engine.batches.lost(run.batch.id)) == []


async def test_its_end_is_told_to_no_endpoint_unless_asked(engine: Process) -> None:
    for told in (False, True):
        run = await in_progress(engine, line_events=told)
        await fed_and_ended(engine, run, 0)
        entry = next(
            each for each in await outbox(engine) if each.request_id == make_line(run.batch, 0).id
        )
        assert entry.quiet is not told
        assert not entry.wants_webhook


async def test_a_fed_line_is_delivered_once_it_is_published(queue_engine: QueueProcess) -> None:
    run = await in_progress(queue_engine)
    lines = await fed(queue_engine, run, 0, 1)
    came: list[str] = []
    await queue_engine.queue.consume(
        "m", Priority.BATCH, Lane.OPEN, 5, lambda delivery: came.append(delivery.envelope.id)
    )
    for line in lines:
        await queue_engine.queue.publish(line)

    async def both() -> bool:
        return len(came) == 2

    await eventually(both)
    assert sorted(came) == [line.id for line in lines]
