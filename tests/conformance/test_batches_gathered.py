"""A step of the gatherer: counts, files and records change together, once."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broker.claims import Done
from broker.ports import FileSelection, Gathered, Held, Selection
from schemas.batches import BatchStatus, BatchUsage, Counts, Cursor
from schemas.ids import batch_file_id
from schemas.lifecycle import Status
from tests.conformance.batch_steps import (
    a_part,
    a_step,
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
    there,
)
from tests.conformance.stages import Process, Stage
from tests.fakes.results import make_result, make_slot

_USAGE = BatchUsage(1, 20, 300, 4_000)


async def test_a_step_adds_to_the_batch(engine: Process) -> None:
    run = await in_progress(engine)
    await fed_and_ended(engine, run, 0, 1, 2)
    first = Gathered([0, 1], Counts(1, 1), _USAGE, 2.5, a_part(run), a_part(run, "errors"), [1])
    assert await engine.batches.gathered(run.batch.id, run.token, first)
    batch = await known(engine, run.batch)
    assert (batch.counts, batch.usage, batch.rate) == (Counts(1, 1), _USAGE, 2.5)
    assert (batch.has_output, batch.has_errors) == (True, True)
    second = Gathered([2], Counts(0, 1, 1, 0), _USAGE, 0.5, None, a_part(run, "errors", 2), [2])
    assert await engine.batches.gathered(run.batch.id, run.token, second)
    batch = await known(engine, run.batch)
    assert (batch.counts, batch.usage) == (Counts(1, 2, 1, 0), _USAGE + _USAGE)
    assert batch.rate == 0.5
    assert await engine.batches.failed_lines(batch.id) == bytes([0b0110_0000])


async def test_its_files_are_made_and_grow(engine: Process) -> None:
    run = await in_progress(engine, output_kept_s=100)
    await fed_and_ended(engine, run, 0, 1)
    assert await engine.batches.gathered(
        run.batch.id, run.token, a_step(run, 0, output=a_part(run, size=7))
    )
    batch = await known(engine, run.batch)
    assert batch.error_file_id is None
    assert batch.output_file_id == batch_file_id(batch.id, "output")
    file = await engine.files.get(batch.output_file_id)
    assert file is not None
    assert (file.tenant, file.purpose, file.bytes) == ("acme", "batch_output", 7)
    assert file.filename == f"{batch.id}_output.jsonl"
    assert abs(file.created_at - time.time()) < 10
    assert file.expires_at == pytest.approx(file.created_at + 100)
    more = a_step(run, 1, output=a_part(run, number=2, size=5), errors=a_part(run, "errors"))
    assert await engine.batches.gathered(run.batch.id, run.token, more)
    assert await engine.files.get(file.id) == replace(file, bytes=12)
    assert list(await engine.files.parts(file.id)) == [
        a_part(run, size=7),
        a_part(run, number=2, size=5),
    ]
    errors = await engine.files.get(batch_file_id(batch.id, "errors"))
    assert errors is not None
    assert (errors.filename, errors.bytes) == (f"{batch.id}_errors.jsonl", 10)
    listed = await engine.files.select(FileSelection("acme", "batch_output"), None, 10)
    assert {each.id for each in listed or ()} == {file.id, errors.id}


async def test_the_records_of_its_lines_go(engine: Process) -> None:
    run = await in_progress(engine)
    lines = await fed_and_ended(engine, run, 0, 1)
    assert await gathered(engine, run, 0)
    assert await there(engine, run, [0, 1]) == [1]
    assert await ended_lines(engine, run.batch) == [1]
    assert await engine.store.statuses([line.id for line in lines]) == {
        lines[1].id: Status.COMPLETED
    }
    assert await engine.store.open_count("acme") == 0


async def test_they_stay_where_the_ends_of_lines_are_told(stage: Stage) -> None:
    async with stage.open() as engine:
        run = await in_progress(engine, line_events=True)
        (line,) = await fed_and_ended(engine, run, 0)
        assert await gathered(engine, run, 0)
        record = await engine.store.get(line.id)
        assert record is not None
        assert record.result is not None
        assert not record.quiet
        assert await ended_lines(engine, run.batch) == []
        assert await engine.store.select(Selection("acme"), None, 10) == []
        assert await engine.store.forget(line.id)
        assert await engine.store.get(line.id) is None


async def test_a_step_that_is_repeated_is_done_once(engine: Process) -> None:
    run = await in_progress(engine)
    await fed_and_ended(engine, run, 0, 1)
    step = Gathered([0], Counts(0, 1), _USAGE, 1.0, None, a_part(run, "errors"), [0])
    for _ in range(3):
        assert await engine.batches.gathered(run.batch.id, run.token, step)
    batch = await known(engine, run.batch)
    assert (batch.counts, batch.usage) == (Counts(0, 1), _USAGE)
    assert list(await engine.files.parts(batch_file_id(batch.id, "errors"))) == [step.errors]


async def test_so_is_one_without_lines(engine: Process) -> None:
    run = await in_progress(engine)
    await engine.batches.cancel(run.batch.id, time.time())
    cursor = Cursor(2, 20, 2)
    step = Gathered(
        [], Counts(0, 2, 2, 0), BatchUsage(), 0.0, None, a_part(run, "errors"), [0, 1], cursor
    )
    for _ in range(2):
        assert await engine.batches.gathered(run.batch.id, run.token, step)
    batch = await known(engine, run.batch)
    assert (batch.counts, batch.fed) == (Counts(0, 2, 2, 0), cursor)
    assert await engine.batches.failed_lines(batch.id) == bytes([0b1100_0000])


async def test_under_an_older_hold_it_adds_nothing(engine: Process) -> None:
    old = await in_progress(engine)
    await fed_and_ended(engine, old, 0)
    new = await taken_over(engine, old)
    step = a_step(old, 0, errors=a_part(old, "errors"), failed=[0], fed=Cursor(1, 1, 1))
    assert not await engine.batches.gathered(old.batch.id, old.token, step)
    batch = await known(engine, old.batch)
    assert (batch.counts, batch.output_file_id, batch.error_file_id) == (Counts(), None, None)
    assert await engine.batches.failed_lines(batch.id) == b""
    assert await ended_lines(engine, batch) == [0]
    assert await gathered(engine, new, 0)
    assert list(await engine.files.parts(batch_file_id(batch.id, "output"))) == [a_part(new)]


async def test_nobody_gathers_what_another_has(engine: Process) -> None:
    """The answer of a dead holder's step may be lost, but never the step."""
    old = await in_progress(engine)
    await fed_and_ended(engine, old, 0, 1)
    assert await gathered(engine, old, 0)
    new = await taken_over(engine, old)
    assert not await gathered(engine, new, 0)
    assert not await gathered(engine, new, 0, 1, number=2)
    assert (await known(engine, new.batch)).counts == Counts(1)
    assert list(await engine.files.parts(batch_file_id(new.batch.id, "output"))) == [a_part(old)]
    assert await ended_lines(engine, new.batch) == [1]
    assert await gathered(engine, new, 1, number=3)


async def test_nor_what_has_not_ended(engine: Process) -> None:
    run = await in_progress(engine)
    await fed(engine, run, 0)
    assert not await gathered(engine, run, 0)
    assert not await gathered(engine, run, 7)
    assert (await known(engine, run.batch)).counts == Counts()


async def test_a_step_follows_on_what_its_holder_knows(engine: Process) -> None:
    """Else a rollback has taken back what the holder has written."""
    run = await in_progress(engine)
    await fed_and_ended(engine, run, 0, 1, 2)
    assert await gathered(engine, run, 0, after=0)
    for known_lines in (0, 2, 5):
        assert not await gathered(engine, run, 1, number=2, after=known_lines)
        assert not await _ends(engine, run, BatchStatus.FAILED, known_lines)
    assert (await known(engine, run.batch)).status is BatchStatus.IN_PROGRESS
    failed = {"counts": Counts(0, 1), "errors": a_part(run, "errors"), "output": None}
    assert await gathered(engine, run, 1, number=2, after=1, failed=[1], **failed)
    assert await gathered(engine, run, 2, number=3, after=2)
    assert (await known(engine, run.batch)).counts == Counts(2, 1)
    assert await _ends(engine, run, BatchStatus.FAILED, 3)
    assert await _ends(engine, run, BatchStatus.FAILED, 3), "as it is already"


async def _ends(engine: Process, run: Held, status: BatchStatus, ended: int) -> bool:
    return await engine.batches.move(run.batch.id, run.token, status, time.time(), ended=ended)


async def test_the_errors_of_a_bad_file_are_a_file(engine: Process) -> None:
    run = await held(engine)
    step = Gathered([], Counts(), BatchUsage(), 0.0, errors=a_part(run, "errors"))
    assert await engine.batches.gathered(run.batch.id, run.token, step)
    await moved(engine, run, BatchStatus.FAILED)
    batch = await known(engine, run.batch)
    assert (batch.has_output, batch.has_errors, batch.counts) == (False, True, Counts())


@pytest.mark.parametrize("status", [BatchStatus.EXPIRED, BatchStatus.FAILED])
async def test_an_ended_batch_changes_no_more(engine: Process, status: BatchStatus) -> None:
    run = await in_progress(engine)
    await fed_and_ended(engine, run, 0, 1)
    assert await gathered(engine, run, 0)
    await moved(engine, run, status)
    before = await known(engine, run.batch)
    assert await gathered(engine, run, 0), "one whose answer was lost has been done"
    assert not await gathered(engine, run, 1, number=2)
    assert await known(engine, run.batch) == before


async def test_which_lines_have_failed(engine: Process) -> None:
    run = await in_progress(engine, total=100_000)
    failed = [0, 7, 8, 4_095, 4_096, 40_000, 99_999]
    await fed_and_ended(engine, run, *failed)
    for number, line in enumerate(failed, 1):
        step = a_step(
            run, line, output=None, errors=a_part(run, "errors", number), failed=[line, line]
        )
        assert await engine.batches.gathered(run.batch.id, run.token, step)
    bits = await engine.batches.failed_lines(run.batch.id)
    assert len(bits) == 12_500
    found = [
        8 * place + bit
        for place, byte in enumerate(bits)
        for bit in range(8)
        if byte & (0x80 >> bit)
    ]
    assert found == failed


async def test_a_worker_that_comes_late_ends_nothing_again(engine: Process) -> None:
    run = await in_progress(engine)
    (line,) = await fed(engine, run, 0)
    await engine.store.claim(line, make_slot())
    assert await engine.store.cancel(line.id) is not None
    assert await gathered(engine, run, 0)
    finish = await engine.store.finish(line, make_result(), 1)
    assert (finish.won, finish.result) == (False, None)
    assert await engine.store.claim(line, make_slot()) == Done()
    assert not await engine.store.next_attempt(line.id, 1, make_slot())
    assert await engine.store.get(line.id) is None
    assert await ended_lines(engine, run.batch) == []
    assert await engine.store.open_count("acme") == 0


async def test_a_batch_in_progress_is_read_while_it_grows(engine: Process) -> None:
    run = await in_progress(engine, total=3)
    lines = await fed(engine, run, 0, 1, 2)
    for number, line in enumerate(lines, 1):
        await by_commit(engine, line)
        assert await gathered(engine, run, number - 1, number=number)
        assert (await known(engine, run.batch)).counts == Counts(number)
    await moved(engine, run, BatchStatus.FINALIZING, BatchStatus.COMPLETED)
    batch = await known(engine, run.batch)
    assert batch.terminal
    assert batch.counts.ended == batch.total
