"""Who runs a batch: one process at a time, and an older one changes nothing any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from broker.ports import Held, Validated
from broker.ports.batches import HOLD_S
from schemas.batches import BatchStatus, Cursor
from tests.conformance.batch_steps import (
    created,
    fed_and_ended,
    gathered,
    held,
    in_progress,
    known,
    moved,
    taken_over,
)
from tests.conformance.stages import Process, Stage, two_processes
from tests.fakes.batches import make_line

Step = Callable[[Process, Held], Awaitable[object]]


async def test_a_hold_tells_what_is_held_and_is_renewed_under_its_token(engine: Process) -> None:
    batch = await created(engine)
    first = await engine.batches.hold(batch.id)
    assert first is not None
    assert first.batch == batch
    await moved(engine, first, BatchStatus.FAILED)
    again = await engine.batches.hold(batch.id)
    assert again == Held(await known(engine, batch), first.token)


async def test_a_hold_that_was_given_up_is_taken_anew(engine: Process) -> None:
    first = await held(engine)
    second = await taken_over(engine, first)
    await engine.batches.let_go(first.batch.id, first.token)
    assert await engine.batches.hold(first.batch.id) == second


async def test_one_that_has_lapsed_is_taken_anew(stage: Stage) -> None:
    async with stage.open() as engine:
        first = await held(engine)
        await stage.let_pass(HOLD_S - 2)
        assert await engine.batches.hold(first.batch.id) == first
        await stage.let_pass(HOLD_S + 2)
        second = await engine.batches.hold(first.batch.id)
        assert second is not None
        assert second.token > first.token


async def test_whoever_comes_after_a_restart_takes_it_anew(stage: Stage) -> None:
    async with stage.open() as engine:
        first = await in_progress(engine)
    await stage.let_pass(HOLD_S + 2)
    async with stage.open() as engine:
        second = await engine.batches.hold(first.batch.id)
        assert second is not None
        assert second.token > first.token
        assert second.batch.status is BatchStatus.IN_PROGRESS
        assert not await engine.batches.move(
            first.batch.id, first.token, BatchStatus.FINALIZING, time.time()
        )


async def test_until_then_a_step_under_a_lapsed_one_is_good(stage: Stage) -> None:
    async with stage.open() as engine:
        run = await in_progress(engine)
        await stage.let_pass(HOLD_S + 2)
        cursor = Cursor(1, 10, 1)
        assert await engine.batches.fed(run.batch.id, run.token, cursor)
        assert (await known(engine, run.batch)).fed == cursor


@two_processes
async def test_one_process_holds_a_batch(stage: Stage, engine: Process, other: Process) -> None:
    mine = await held(engine)
    assert await other.batches.hold(mine.batch.id) is None
    await engine.batches.let_go(mine.batch.id, mine.token)
    theirs = await other.batches.hold(mine.batch.id)
    assert theirs is not None
    assert theirs.token > mine.token
    assert await engine.batches.hold(mine.batch.id) is None
    await stage.let_pass(HOLD_S + 2)
    mine_again = await engine.batches.hold(mine.batch.id)
    assert mine_again is not None
    assert mine_again.token > theirs.token


@two_processes
async def test_of_many_that_ask_at_once_one_holds_it(engine: Process, other: Process) -> None:
    batch = await created(engine)
    asked = [each.batches.hold(batch.id) for each in (engine, other) * 5]
    given = [each for each in await asyncio.gather(*asked) if each is not None]
    assert len(given) == 5
    assert len({each.token for each in given}) == 1


async def _move(engine: Process, run: Held) -> object:
    return await engine.batches.move(run.batch.id, run.token, BatchStatus.FINALIZING, time.time())


async def _feed(engine: Process, run: Held) -> object:
    return await engine.batches.feed(run.batch.id, run.token, [make_line(run.batch, 5)])


async def _note_fed(engine: Process, run: Held) -> object:
    return await engine.batches.fed(run.batch.id, run.token, Cursor(9, 99, 9))


async def _gather(engine: Process, run: Held) -> object:
    return await gathered(engine, run, 0)


async def _tell(engine: Process, run: Held) -> object:
    await engine.batches.told(run.batch.id, run.token)
    return None


@pytest.mark.parametrize("step", [_move, _feed, _note_fed, _gather, _tell])
async def test_a_step_under_an_older_hold_changes_nothing(engine: Process, step: Step) -> None:
    old = await in_progress(engine)
    await fed_and_ended(engine, old, 0)
    await taken_over(engine, old)
    before = await known(engine, old.batch)
    assert not await step(engine, old)
    assert await known(engine, old.batch) == before
    assert await engine.store.get(make_line(old.batch, 5).id) is None
    assert [each.line for each in await engine.batches.ends(old.batch.id, 9, 9)] == [0]
    assert before.output_file_id is None
    assert list(await engine.files.expired(10)) == []


async def test_a_file_found_good_under_an_older_hold_begins_nothing(engine: Process) -> None:
    old = await held(engine)
    new = await taken_over(engine, old)
    found = Validated(3, "m")
    assert not await engine.batches.validated(old.batch.id, old.token, found, time.time())
    assert await known(engine, old.batch) == old.batch
    assert await engine.batches.validated(new.batch.id, new.token, found, time.time())
