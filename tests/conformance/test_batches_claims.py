"""The claim and the commit of a line that has no record: may it be made again?"""

from __future__ import annotations

import time

import pytest

from broker.claims import Done, Finish, Run
from schemas.batches import BATCH_TERMINAL, BatchStatus
from schemas.ids import new_batch_id
from schemas.lifecycle import Status
from tests.conformance.batch_steps import (
    created,
    ended_lines,
    fed_and_ended,
    gathered,
    in_progress,
    moved,
)
from tests.conformance.stages import Process
from tests.conformance.steps import outbox, record_of
from tests.fakes.batches import make_batch, make_line
from tests.fakes.results import make_result, make_slot


async def test_one_of_a_batch_in_progress_is_rebuilt(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 0)
    assert await engine.store.claim(line, make_slot()) == Run(1, 0)
    record = await record_of(engine, line)
    assert (record.batch, record.line, record.quiet) == (run.batch.id, 0, True)
    assert list(await engine.batches.unended(run.batch.id)) == [0]
    assert (await engine.store.finish(line, make_result(), 1)).won
    assert await ended_lines(engine, run.batch) == [0]
    assert await gathered(engine, run, 0)
    assert await engine.store.open_count("acme") == 0


async def test_a_commit_without_a_record_is_an_end(engine: Process) -> None:
    run = await in_progress(engine)
    line, result = make_line(run.batch, 4), make_result()
    assert await engine.store.finish(line, result, 3) == Finish(True, result)
    assert await ended_lines(engine, run.batch) == [4]


async def test_one_that_was_gathered_is_done(engine: Process) -> None:
    run = await in_progress(engine)
    (line,) = await fed_and_ended(engine, run, 0)
    assert await gathered(engine, run, 0)
    assert await engine.store.claim(line, make_slot()) == Done()
    assert await engine.store.take_over(line, "dead:1", make_slot()) == Done()
    assert await engine.store.finish(line, make_result(), 9) == Finish(False, None)
    assert await engine.store.get(line.id) is None
    assert len(await outbox(engine)) == 1


@pytest.mark.parametrize("status", [BatchStatus.CANCELLING, *sorted(BATCH_TERMINAL)])
async def test_one_of_a_batch_that_starts_nothing_more_is_done(
    engine: Process, status: BatchStatus
) -> None:
    run = await in_progress(engine)
    ways = {
        BatchStatus.COMPLETED: (BatchStatus.FINALIZING, BatchStatus.COMPLETED),
        BatchStatus.CANCELLED: (BatchStatus.CANCELLING, BatchStatus.CANCELLED),
    }
    await moved(engine, run, *ways.get(status, (status,)))
    line = make_line(run.batch, 0)
    assert await engine.store.claim(line, make_slot()) == Done()
    assert await engine.store.take_over(line, "dead:1", make_slot()) == Done()
    assert await engine.store.get(line.id) is None


@pytest.mark.parametrize("status", sorted(BATCH_TERMINAL))
async def test_nor_is_it_committed_after_the_end_of_its_batch(
    engine: Process, status: BatchStatus
) -> None:
    run = await in_progress(engine)
    ways = {
        BatchStatus.COMPLETED: (BatchStatus.FINALIZING, BatchStatus.COMPLETED),
        BatchStatus.CANCELLED: (BatchStatus.CANCELLING, BatchStatus.CANCELLED),
    }
    await moved(engine, run, *ways.get(status, (status,)))
    assert await engine.store.finish(make_line(run.batch, 0), make_result(), 1) == (
        Finish(False, None)
    )
    assert await outbox(engine) == []


async def test_one_of_an_unknown_or_a_removed_batch_is_done(engine: Process) -> None:
    run = await in_progress(engine)
    await moved(engine, run, BatchStatus.FAILED)
    assert await engine.batches.remove(run.batch.id)
    for batch in (run.batch, make_batch(id=new_batch_id())):
        line = make_line(batch, 0)
        assert await engine.store.claim(line, make_slot()) == Done()
        assert await engine.store.finish(line, make_result(), 1) == Finish(False, None)
        assert await engine.store.get(line.id) is None


async def test_what_runs_when_its_batch_is_cancelled_may_still_end(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 0)
    assert await engine.store.claim(line, make_slot()) == Run(1, 0)
    await engine.batches.cancel(run.batch.id, time.time())
    result = make_result(Status.FAILED)
    assert await engine.store.finish(line, result, 1) == Finish(True, result)
    assert await ended_lines(engine, run.batch) == [0]


async def test_a_line_that_ends_after_its_batch_is_as_any_request(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 0)
    await engine.store.claim(line, make_slot())
    await moved(engine, run, BatchStatus.EXPIRED)
    assert (await engine.store.finish(line, make_result(), 1)).won
    assert await ended_lines(engine, run.batch) == []
    assert (await record_of(engine, line)).terminal
    assert await engine.store.open_count("acme") == 0


async def test_a_batch_that_validates_has_no_lines_yet(engine: Process) -> None:
    batch = await created(engine)
    assert list(await engine.batches.unended(batch.id)) == []
    assert list(await engine.batches.lost(batch.id)) == []
