"""The ends of lines: each is found once, by whatever way it came, until it is gathered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from schemas.batches import BatchStatus
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from tests.conformance.batch_steps import (
    FAR,
    MUCH,
    by_cancel,
    by_commit,
    by_failure,
    by_its_deadline,
    by_the_keeper,
    ended_lines,
    fed,
    gathered,
    in_progress,
    moved,
)
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import outbox, record_of
from tests.fakes.batches import make_line
from tests.fakes.results import make_result, make_slot

End = Callable[[Process, Envelope], Awaitable[Status]]
_WAYS: list[End] = [by_commit, by_failure, by_cancel, by_the_keeper]


@pytest.mark.parametrize("way", _WAYS, ids=lambda way: way.__name__)
async def test_an_end_is_found_with_its_result(engine: Process, way: End) -> None:
    run = await in_progress(engine)
    line, other = await fed(engine, run, 0, 1)
    status = await way(engine, line)
    (ended,) = await engine.batches.ends(run.batch.id, FAR, MUCH)
    assert ended.line == 0
    assert ended.record == await record_of(engine, line)
    assert ended.record.status is status
    assert ended.record.result is not None
    assert list(await engine.batches.unended(run.batch.id)) == [1]
    assert await engine.store.open_count("acme") == 1
    assert [entry.request_id for entry in await outbox(engine)] == [line.id]
    await by_cancel(engine, other)
    assert await engine.store.open_count("acme") == 0
    assert await engine.store.waiting("m") == {}


async def test_so_is_one_past_its_deadline(engine: Process) -> None:
    run = await in_progress(engine)
    line = make_line(run.batch, 0, deadline=time.time() - 1)
    await engine.batches.feed(run.batch.id, run.token, [line])
    await by_its_deadline(engine, line)
    (ended,) = await engine.batches.ends(run.batch.id, FAR, MUCH)
    assert (ended.line, ended.record.status) == (0, Status.EXPIRED)


async def test_a_run_that_was_cancelled_ends_once(engine: Process) -> None:
    run = await in_progress(engine)
    (line,) = await fed(engine, run, 0)
    await engine.store.claim(line, make_slot())
    await by_cancel(engine, line)
    assert not (await engine.store.finish(line, make_result(), 1)).won
    await engine.store.cancel(line.id)
    assert await ended_lines(engine, run.batch) == [0]
    assert len(await outbox(engine)) == 1


async def test_a_repeated_commit_is_one_end(engine: Process) -> None:
    run = await in_progress(engine)
    (line,) = await fed(engine, run, 0)
    await engine.store.claim(line, make_slot())
    result = make_result()
    for _ in range(2):
        assert (await engine.store.finish(line, result, 1)).won
    assert await ended_lines(engine, run.batch) == [0]


async def test_in_the_order_in_which_they_end(engine: Process) -> None:
    run = await in_progress(engine)
    lines = await fed(engine, run, 0, 1, 2, 3)
    for number in (2, 0, 3):
        await by_commit(engine, lines[number])
    assert await ended_lines(engine, run.batch) == [2, 0, 3]
    assert await gathered(engine, run, 2, 0)
    await by_cancel(engine, lines[1])
    assert await ended_lines(engine, run.batch) == [3, 1]


async def test_in_the_order_of_the_input_only_what_is_unbroken(engine: Process) -> None:
    run = await in_progress(engine, order="input")
    lines = await fed(engine, run, 0, 1, 2, 3)
    await by_commit(engine, lines[1])
    assert await ended_lines(engine, run.batch) == []
    await by_commit(engine, lines[3])
    await by_failure(engine, lines[0])
    assert await ended_lines(engine, run.batch) == [0, 1]
    assert await gathered(engine, run, 0)
    assert await ended_lines(engine, run.batch) == [1]
    assert await gathered(engine, run, 1, number=2)
    assert await ended_lines(engine, run.batch) == []
    await by_cancel(engine, lines[2])
    assert await ended_lines(engine, run.batch) == [2, 3]


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_at_most_so_many_at_once(engine: Process, order: str) -> None:
    run = await in_progress(engine, order=order)
    for line in await fed(engine, run, 0, 1, 2):
        await by_commit(engine, line, body=b"x" * 1_000)

    async def found(limit: int, max_bytes: int) -> list[int]:
        ends = await engine.batches.ends(run.batch.id, limit, max_bytes)
        return [each.line for each in ends]

    assert await found(2, MUCH) == [0, 1]
    assert await found(10, MUCH) == [0, 1, 2]
    assert await found(10, 1) == [0], "one has to come, however large it is"
    assert await found(10, 1_500) in ([0], [0, 1])


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_those_behind_what_was_read_before(engine: Process, order: str) -> None:
    run = await in_progress(engine, order=order)
    lines = await fed(engine, run, 0, 1, 2, 3, 4)
    for number in (0, 1, 2, 4):
        await by_commit(engine, lines[number])
    last = [4] if order == "completion" else []

    async def behind(skip: int, limit: int = FAR) -> list[int]:
        ends = await engine.batches.ends(run.batch.id, limit, MUCH, skip)
        return [each.line for each in ends]

    assert await behind(1) == [1, 2, *last]
    assert await behind(1, 1) == [1]
    assert await behind(3) == last
    assert await gathered(engine, run, 0, 1)
    assert await behind(0) == [2, *last]
    assert await behind(1) == last
    assert await behind(9) == []


async def test_those_of_other_batches_are_apart(engine: Process) -> None:
    first, second = await in_progress(engine), await in_progress(engine)
    for run, line in ((first, 0), (second, 1)):
        for envelope in await fed(engine, run, line):
            await by_commit(engine, envelope)
    assert await ended_lines(engine, first.batch) == [0]
    assert await ended_lines(engine, second.batch) == [1]


async def test_they_go_on_while_it_is_cancelled(engine: Process) -> None:
    run = await in_progress(engine)
    lines = await fed(engine, run, 0, 1)
    await engine.batches.cancel(run.batch.id, time.time())
    await by_cancel(engine, lines[0])
    await by_commit(engine, lines[1])
    assert await ended_lines(engine, run.batch) == [0, 1]
    assert await gathered(engine, run, 0, 1)
    await moved(engine, run, BatchStatus.CANCELLED)


async def test_no_end_is_forgotten_before_it_is_gathered(stage: Stage) -> None:
    """A batch may rest for longer than results are kept."""
    async with stage.open(0.2) as engine:
        run = await in_progress(engine)
        line, at_once = await fed(engine, run, 0, 1)
        await by_commit(engine, line, body=b"late")
        await by_cancel(engine, at_once)
        await asyncio.sleep(0.4)
        await engine.upkeep.sweep()
        ends = await engine.batches.ends(run.batch.id, FAR, MUCH)
        assert [each.line for each in ends] == [0, 1]
        result = ends[0].record.result
        assert result is not None
        assert result.body == b"late"
        assert await gathered(engine, run, 0, 1)
        assert await ended_lines(engine, run.batch) == []


@pytest.mark.parametrize("told", [False, True])
async def test_one_that_is_deleted_is_still_gathered(engine: Process, told: bool) -> None:
    run = await in_progress(engine, line_events=told)
    (line,) = await fed(engine, run, 0)
    await by_commit(engine, line, body=b"kept")
    await engine.store.forget(line.id)
    assert await engine.store.get(line.id) is None
    (ended,) = await engine.batches.ends(run.batch.id, FAR, MUCH)
    assert ended.record.result is not None
    assert ended.record.result.body == b"kept"
    assert await gathered(engine, run, 0)
    assert await engine.store.get(line.id) is None
