"""Batches in the embedded file: nothing is read from end to end, nothing is left, a crash harms no
line.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from broker.claims import Run
from broker.embedded.batch_rows import BatchRow
from broker.embedded.engine import EmbeddedEngine
from broker.embedded.runs import release_older_lives
from broker.free_space import Floor
from broker.ports import FileSelection, Held, Selection
from schemas.batches import BatchStatus, Cursor
from schemas.errors import StorageFull
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from tests.conformance.batch_steps import (
    FAR,
    MUCH,
    a_part,
    a_step,
    by_cancel,
    by_commit,
    ended_lines,
    fed,
    fed_and_ended,
    gathered,
    in_progress,
    moved,
)
from tests.conformance.steps import record_of
from tests.fakes.batches import make_batch, make_file, make_line
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import rows, running

_TABLES = ("requests", "envelopes", "results", "asked", "batches", "line_ends", "line_bits")
# Lists that are short by what they are, and an index of nothing else.
_WHOLE = ("json_each", "CONSTANT ROW", "INDEX batches_unfinished")
_LEFT = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in _TABLES)
Statement = tuple[str, Any]


async def test_columns_are_in_the_order_of_the_rows(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        names = await rows(engine, "SELECT name FROM pragma_table_info('batches')")
        assert tuple(name for (name,) in names) == BatchRow._fields


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_no_step_reads_a_table_from_end_to_end(tmp_path: Path, order: str) -> None:
    async with running(tmp_path) as engine:
        statements = await _traced(engine)
        run = await in_progress(engine, order=order)
        await _live(engine, run)
        ran = {text: bindings for text, bindings in statements if _has_plan(text)}
        assert len(ran) > 40
        plans = {text: await engine._database.read(_plan, text, ran[text]) for text in ran}
    assert {text: found for text, plan in plans.items() if (found := _scans(plan))} == {}
    sorts = "USE TEMP B-TREE FOR ORDER BY"
    assert [text for text, plan in plans.items() if sorts in plan] == []


async def _traced(engine: EmbeddedEngine) -> list[Statement]:
    statements: list[Statement] = []

    def trace(_cursor: apsw.Cursor, text: str, bindings: Any) -> bool:
        statements.append((text, bindings))
        return True

    def begin(file: apsw.Connection) -> None:
        file.exec_trace = trace

    await engine._database.write(begin)
    await engine._database.read(begin)
    return statements


def _has_plan(text: str) -> bool:
    return text.split(maxsplit=1)[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")


def _plan(file: apsw.Connection, text: str, bindings: Any) -> list[str]:
    return [str(step[-1]) for step in file.execute(f"EXPLAIN QUERY PLAN {text}", bindings)]


def _scans(plan: list[str]) -> list[str]:
    """Return the steps that read the whole of something which may be long."""
    short = [*_WHOLE, *(f"SCAN {step[11:]}" for step in plan if step.startswith("CO-ROUTINE "))]
    scans = [step for step in plan if step.startswith("SCAN")]
    return [step for step in scans if not any(known in step for known in short)]


async def _live(engine: EmbeddedEngine, run: Held) -> None:
    """Take every step of a batch's life, and of its files'."""
    batches, batch_id = engine.batches, run.batch.id
    lines = await fed(engine, run, 0, 1, 2, 3)
    await batches.fed(batch_id, run.token, Cursor(4, 40, 4))
    await by_commit(engine, lines[0])
    await by_cancel(engine, lines[1])
    await engine.upkeep.end(await record_of(engine, lines[2]), make_result(Status.EXPIRED))
    await batches.unended(batch_id)
    await ended_lines(engine, run.batch)
    step = a_step(run, 0, 1, errors=a_part(run, "errors"), failed=[1], fed=Cursor(4, 40, 4))
    assert await batches.gathered(batch_id, run.token, step)
    assert await engine.store.claim(lines[0], make_slot()) is not None
    await batches.failed_lines(batch_id)
    await batches.running("acme")
    await batches.unfinished()
    await batches.pause(batch_id, paused=True)
    await batches.cancel(batch_id, time.time())
    await moved(engine, run, BatchStatus.CANCELLED)
    await batches.told(batch_id, run.token)
    await batches.let_go(batch_id, run.token)
    await batches.select("acme", (await _another(engine)).batch.id, 10)
    await batches.remove(batch_id)
    file = make_file()
    await engine.files.create(file, [a_part(run)])
    for purpose in (None, "batch"):
        for newest_first in (False, True):
            selection = FileSelection("acme", purpose, newest_first)
            await engine.files.select(selection, file.id, 10)
    await engine.files.parts(file.id)
    await engine.files.delete(file.id)
    await engine.files.expired(10)
    await engine.store.select(Selection("acme"), None, 10)
    await engine.upkeep.sweep()


async def _another(engine: EmbeddedEngine) -> Held:
    run = await in_progress(engine, line_events=True)
    await fed_and_ended(engine, run, 0)
    assert await gathered(engine, run, 0)
    return run


@pytest.mark.parametrize("removed", [False, True])
async def test_a_batch_that_is_over_leaves_nothing(tmp_path: Path, removed: bool) -> None:
    at = [time.time()]
    async with running(tmp_path, clock=lambda: at[0], batches_kept_s=100) as engine:
        run = await in_progress(engine)
        lines = await fed(engine, run, 0, 1, 5_000)
        await by_commit(engine, lines[0])
        assert await gathered(engine, run, 0, failed=[0])
        await by_commit(engine, lines[1])  # it is never gathered
        await by_cancel(engine, lines[2])
        await moved(engine, run, BatchStatus.FAILED)
        at[0] += 90
        await engine.upkeep.sweep()
        assert await rows(engine, _LEFT) == [(2, 0, 2, 0, 1, 2, 2)]
        if removed:
            assert await engine.batches.remove(run.batch.id)
        else:
            at[0] += 20
            await engine.upkeep.sweep()
        assert await rows(engine, _LEFT) == [(0,) * len(_TABLES)]
        assert await engine.store.open_count("acme") == 0


async def test_what_a_line_leaves_once_it_is_gathered(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        run = await in_progress(engine, endpoint="/v1/responses")
        await fed_and_ended(engine, run, *range(50))
        assert await gathered(engine, run, *range(50))
        assert await rows(engine, _LEFT) == [(0, 0, 0, 0, 1, 0, 1)]


async def test_lines_that_ran_when_the_process_died_wait_again(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        run = await in_progress(engine)
        lines = await fed(engine, run, 0, 1, 2)
        for line in lines[:2]:
            assert await engine.store.claim(line, make_slot()) == Run(1, 0)
        await engine.store.witness([lines[0].id])
        await by_commit(engine, lines[2])
    async with running(tmp_path) as engine:
        inbox = Inbox()
        await engine.queue.consume("m", Priority.BATCH, Lane.OPEN, 5, inbox)
        await inbox.count(2)
        assert inbox.ids == [lines[0].id, lines[1].id]
        again = await engine.batches.hold(run.batch.id)
        assert again is not None
        flags = await engine.batches.feed(run.batch.id, again.token, lines)
        assert list(flags or ()) == [False] * 3, "they are known, and were claimed before"
        assert await engine.store.claim(lines[0], make_slot()) == Run(2, 1)
        assert await engine.store.claim(lines[1], make_slot()) == Run(2, 0)
        ends = await engine.batches.ends(run.batch.id, FAR, MUCH)
        assert [each.line for each in ends] == [2]
        assert sorted(await engine.batches.unended(run.batch.id)) == [0, 1]


async def test_below_the_floor_of_free_space_nothing_is_fed(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        run = await in_progress(engine)
        await fed_and_ended(engine, run, 0)
    async with running(tmp_path, floor=Floor(bytes=1 << 62, share=1.0)) as engine:
        again = await engine.batches.hold(run.batch.id)
        assert again is not None
        with pytest.raises(StorageFull):
            await engine.batches.feed(run.batch.id, again.token, [make_line(run.batch, 1)])
        with pytest.raises(StorageFull):
            await engine.batches.create(make_batch())
        assert await gathered(engine, again, 0), "what is accepted goes on"


async def test_a_line_that_nobody_can_read_fails_and_is_gathered(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        run = await in_progress(engine)
        (line,) = await fed(engine, run, 0)
        await engine._database.write(
            lambda file: file.execute("UPDATE envelopes SET data = x'00'").fetchall()
        )
        await engine.queue.consume("m", Priority.BATCH, Lane.OPEN, 5, Inbox())
        record = await engine.store.wait(line.id, 10)
        assert record is not None
        assert record.result is not None
        assert record.result.code == "dead_lettered"
        assert await engine.dead_letters.select(Selection("acme"), None, 10) == []
        assert await ended_lines(engine, run.batch) == [0]


async def test_what_ran_at_a_crash_is_found_among_the_open_ones(tmp_path: Path) -> None:
    """A million lines that were told may be kept beside them."""
    async with running(tmp_path) as engine:
        statements = await _traced(engine)
        await engine._database.write(lambda file: release_older_lives(file, engine.owner, 0.0))
        ((text, bindings),) = [each for each in statements if _has_plan(each[0])]
        (step,) = await engine._database.read(_plan, text, bindings)
        assert step == "SCAN requests USING INDEX open_checks"
