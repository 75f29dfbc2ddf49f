"""A batch from its creation to its end: what is told of it, and which ways it may go."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broker.ports import Held, Validated
from schemas.batches import BATCH_TERMINAL, BATCH_TRANSITIONS, BatchStatus, LineError
from schemas.ids import new_batch_id
from tests.conformance.batch_steps import (
    created,
    fed_and_ended,
    gathered,
    held,
    in_progress,
    known,
    moved,
)
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import eventually
from tests.fakes.batches import make_batch

_MONTH_S = 30 * 86_400.0
# How a new batch gets into each state.
_WAYS: dict[BatchStatus, tuple[BatchStatus, ...]] = {
    BatchStatus.VALIDATING: (),
    BatchStatus.IN_PROGRESS: (BatchStatus.IN_PROGRESS,),
    BatchStatus.FINALIZING: (BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING),
    BatchStatus.COMPLETED: (
        BatchStatus.IN_PROGRESS,
        BatchStatus.FINALIZING,
        BatchStatus.COMPLETED,
    ),
    BatchStatus.FAILED: (BatchStatus.FAILED,),
    BatchStatus.EXPIRED: (BatchStatus.EXPIRED,),
    BatchStatus.CANCELLING: (BatchStatus.CANCELLING,),
    BatchStatus.CANCELLED: (BatchStatus.CANCELLING, BatchStatus.CANCELLED),
}
_OPEN = [status for status in BatchStatus if status not in BATCH_TERMINAL]


async def _brought_to(engine: Process, status: BatchStatus, **changes: object) -> Held:
    run = await held(engine, **changes)
    await moved(engine, run, *_WAYS[status])
    return run


async def test_a_batch_is_told_as_it_was_created(engine: Process) -> None:
    batch = await created(
        engine,
        key_id="key",
        order="input",
        error_codes="numbers",
        dialect="anthropic",
        include_cancelled=True,
        line_events=True,
        webhook="https://ü.example",
        retry_of=new_batch_id(),
        output_kept_s=7.5,
        metadata={"of": "us, ü", "": ""},
    )
    assert await engine.batches.get(batch.id) == batch
    assert not batch.terminal


async def test_its_id_is_taken_then(engine: Process) -> None:
    batch = await created(engine)
    assert not await engine.batches.create(replace(batch, terms=replace(batch.terms, tenant="b")))
    assert await known(engine, batch) == batch
    assert await engine.batches.get(new_batch_id()) is None


async def test_pages_of_a_tenant_newest_first(engine: Process) -> None:
    now = time.time()
    batches = [await created(engine, created_at=now - number // 2) for number in range(5)]
    await created(engine, tenant="other")
    newest = sorted(batches, key=lambda each: (each.terms.created_at, each.id), reverse=True)
    assert await engine.batches.select("acme", None, 10) == newest
    assert await engine.batches.select("acme", None, 2) == newest[:2]
    assert await engine.batches.select("acme", newest[1].id, 2) == newest[2:4]
    assert await engine.batches.select("acme", newest[4].id, 2) == []


async def test_pages_of_one_dialect_either_way(engine: Process) -> None:
    now = time.time()
    oldest = [
        await created(engine, created_at=now + number // 2, dialect="anthropic")
        for number in range(5)
    ]
    oldest.sort(key=lambda each: (each.terms.created_at, each.id))
    other = await created(engine, created_at=now + 1)
    select = engine.batches.select
    assert await select("acme", None, 10) == [other]
    assert await select("acme", None, 10, "anthropic") == oldest[::-1]
    assert await select("acme", oldest[3].id, 2, "anthropic") == [oldest[2], oldest[1]]
    assert await select("acme", None, 2, "anthropic", newest_first=False) == oldest[:2]
    assert await select("acme", oldest[1].id, 9, "anthropic", newest_first=False) == oldest[2:]
    assert await select("acme", other.id, 2, "anthropic") is None
    assert await select("acme", oldest[0].id, 2) is None


async def test_the_number_of_its_lines_may_be_known_from_the_first_on(engine: Process) -> None:
    batch = replace(make_batch(), total=7)
    assert await engine.batches.create(batch)
    assert await known(engine, batch) == batch


async def test_no_page_goes_on_behind_a_batch_of_others(engine: Process) -> None:
    batch = await created(engine)
    assert await engine.batches.select("other", batch.id, 2) is None
    assert await engine.batches.select("acme", new_batch_id(), 2) is None
    assert await engine.batches.select("nobody", None, 2) == []


async def test_those_that_have_not_ended_oldest_first(engine: Process) -> None:
    now = time.time()
    runs = [
        await _brought_to(engine, status, created_at=now - number)
        for number, status in enumerate(BatchStatus)
    ]
    await created(engine, tenant="other")
    found = [each.status for each in await engine.batches.running("acme")]
    assert found == [status for status in reversed(BatchStatus) if status not in BATCH_TERMINAL]
    for run in runs:
        await engine.batches.cancel(run.batch.id, now)
        await engine.batches.move(run.batch.id, run.token, BatchStatus.CANCELLED, now)
    assert list(await engine.batches.running("acme")) == []


async def test_a_good_file_begins_it(engine: Process) -> None:
    run = await held(engine)
    at = time.time()
    for _ in range(2):  # its answer may be lost
        assert await engine.batches.validated(run.batch.id, run.token, Validated(7, "m"), at)
    batch = await known(engine, run.batch)
    assert (batch.status, batch.total, batch.model) == (BatchStatus.IN_PROGRESS, 7, "m")
    assert batch.times == {
        BatchStatus.VALIDATING: batch.terms.created_at,
        BatchStatus.IN_PROGRESS: at,
    }


async def test_one_of_many_models_has_none_of_its_own(engine: Process) -> None:
    run = await held(engine)
    found = Validated(7, None)
    assert await engine.batches.validated(run.batch.id, run.token, found, time.time())
    assert (await known(engine, run.batch)).model is None


@pytest.mark.parametrize(
    "status", [each for each in BatchStatus if each not in ("validating", "in_progress")]
)
async def test_what_no_longer_validates_does_not_begin(
    engine: Process, status: BatchStatus
) -> None:
    run = await _brought_to(engine, status)
    found = Validated(1, "m")
    assert not await engine.batches.validated(run.batch.id, run.token, found, time.time())
    assert (await known(engine, run.batch)).status is status


@pytest.mark.parametrize("status", BatchStatus)
async def test_a_batch_goes_only_where_its_states_lead(
    engine: Process, status: BatchStatus
) -> None:
    for following in BatchStatus:
        run = await _brought_to(engine, status)
        before = await known(engine, run.batch)
        at = time.time() + 1
        moves = await engine.batches.move(run.batch.id, run.token, following, at)
        batch = await known(engine, run.batch)
        if following in BATCH_TRANSITIONS[status]:
            assert moves
            assert batch.status is following
            assert batch.times == {**before.times, following: at}
        else:
            # One that is repeated has done what it does.
            assert moves == (following is status)
            assert batch == before


async def test_what_is_wrong_with_its_file_is_noted_with_its_failure(engine: Process) -> None:
    run = await held(engine)
    errors = (
        LineError("invalid_url", "It is ü.", 3, "url", "a"),
        LineError("empty_file", "It is empty."),
    )
    for _ in range(2):
        assert await engine.batches.move(
            run.batch.id, run.token, BatchStatus.FAILED, time.time(), errors
        )
    assert (await known(engine, run.batch)).errors == errors


@pytest.mark.parametrize("status", BatchStatus)
async def test_a_cancel_in_every_state(engine: Process, status: BatchStatus) -> None:
    run = await _brought_to(engine, status)
    before = await known(engine, run.batch)
    at = time.time() + 5
    told = await engine.batches.cancel(run.batch.id, at)
    assert told == await known(engine, run.batch)
    if status in BATCH_TERMINAL or status is BatchStatus.CANCELLING:
        assert told == before
    else:
        cancelled = {**before.times, BatchStatus.CANCELLING: at}
        assert told == replace(before, status=BatchStatus.CANCELLING, times=cancelled)


@pytest.mark.parametrize("status", BatchStatus)
async def test_a_pause_in_every_state(engine: Process, status: BatchStatus) -> None:
    run = await _brought_to(engine, status)
    before = await known(engine, run.batch)
    told = await engine.batches.pause(run.batch.id, paused=True)
    assert told == await known(engine, run.batch)
    assert told == replace(before, paused=status not in BATCH_TERMINAL)
    assert await engine.batches.pause(run.batch.id, paused=False) == before


async def test_there_is_nothing_to_do_with_an_unknown_one(engine: Process) -> None:
    batches, unknown = engine.batches, new_batch_id()
    assert await batches.cancel(unknown, time.time()) is None
    assert await batches.pause(unknown, paused=True) is None
    assert await batches.hold(unknown) is None
    assert not await batches.validated(unknown, 1, Validated(1, "m"), time.time())
    assert not await batches.move(unknown, 1, BatchStatus.FAILED, time.time())
    assert not await batches.remove(unknown)
    assert list(await batches.ends(unknown, 10, 10)) == []
    assert list(await batches.unended(unknown)) == []
    assert list(await batches.lost(unknown)) == []
    assert await batches.failed_lines(unknown) == b""


async def test_it_wants_a_runner_until_its_end_is_told(engine: Process) -> None:
    now = time.time()
    runs = [
        await _brought_to(engine, status, created_at=now - number, tenant=f"t{number % 3}")
        for number, status in enumerate(BatchStatus)
    ]
    oldest_first = [run.batch.id for run in reversed(runs)]
    assert list(await engine.batches.unfinished()) == oldest_first
    told = {run.batch.id for run in runs if (await known(engine, run.batch)).terminal}
    for run in runs:
        if run.batch.id in told:
            for _ in range(2):
                await engine.batches.told(run.batch.id, run.token)
            assert (await known(engine, run.batch)).told
    still = [each for each in oldest_first if each not in told]
    assert list(await engine.batches.unfinished()) == still


@pytest.mark.parametrize("status", BatchStatus)
async def test_only_what_has_ended_is_removed(engine: Process, status: BatchStatus) -> None:
    run = await _brought_to(engine, status)
    stays = await created(engine)
    if status in _OPEN:
        assert not await engine.batches.remove(run.batch.id)
        assert (await known(engine, run.batch)).status is status
        return
    assert await engine.batches.remove(run.batch.id)
    assert not await engine.batches.remove(run.batch.id)
    assert await engine.batches.get(run.batch.id) is None
    assert await engine.batches.select("acme", None, 10) == [stays]
    assert list(await engine.batches.unfinished()) == [stays.id]
    assert await engine.batches.hold(run.batch.id) is None


async def test_its_files_outlive_it(engine: Process) -> None:
    run = await in_progress(engine, 1)
    await fed_and_ended(engine, run, 0)
    assert await gathered(engine, run, 0)
    await moved(engine, run, BatchStatus.FINALIZING, BatchStatus.COMPLETED)
    batch = await known(engine, run.batch)
    assert await engine.batches.remove(batch.id)
    assert batch.output_file_id is not None
    assert await engine.files.get(batch.output_file_id) is not None
    assert await engine.batches.failed_lines(batch.id) == b""


async def test_one_past_its_retention_reads_as_unknown(stage: Stage) -> None:
    async with stage.open() as engine:
        run = await _brought_to(engine, BatchStatus.COMPLETED)
        await engine.batches.told(run.batch.id, run.token)
        still_open = await created(engine)
        await stage.let_pass(_MONTH_S - 60)
        assert await engine.batches.get(run.batch.id) is not None
        await stage.let_pass(120)
        await engine.upkeep.sweep()
        assert await engine.batches.get(run.batch.id) is None
        assert await engine.batches.select("acme", None, 10) == [still_open]
        assert list(await engine.batches.unfinished()) == [still_open.id]


async def test_the_workers_hear_of_what_concerns_them(engine: Process) -> None:
    heard: list[None] = []
    engine.batches.on_changed(lambda: heard.append(None))

    async def was_heard() -> bool:
        return bool(heard)

    batch = make_batch()
    await engine.batches.create(batch)
    await eventually(was_heard)
    heard.clear()
    await engine.batches.pause(batch.id, paused=True)
    await eventually(was_heard)
    heard.clear()
    await engine.batches.cancel(batch.id, time.time())
    await eventually(was_heard)
