"""What a batch leaves in Redis, and what a rollback of Redis can do to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from broker.claims import Run
from broker.ports import Gathered, Held, Validated
from broker.redis_store.parts import RedisParts
from schemas.batches import BatchStatus, BatchUsage, Counts
from schemas.envelope import Envelope
from schemas.files import Part
from schemas.ids import line_id
from schemas.priority import Lane, Priority
from schemas.record import born
from tests.fakes.batches import make_batch, make_line
from tests.integration.redis_stage import SLOT, a_result, open_parts
from workers.batches.held import Fenced, HeldBatch

pytestmark = pytest.mark.realservers
_MONTH_MS = 30 * 86_400_000


@pytest.fixture(params=["redis_url", "redis_cluster"])
async def parts(request: pytest.FixtureRequest) -> AsyncIterator[RedisParts]:
    async with open_parts(request.getfixturevalue(request.param)) as parts:
        yield parts


async def begun(parts: RedisParts, **changes: Any) -> Held:
    batch = make_batch(**changes)
    await parts.batches.create(batch)
    run = await parts.batches.hold(batch.id)
    assert run is not None
    await parts.batches.validated(batch.id, run.token, Validated(1_000, "m"), time.time())
    return run


async def fed(parts: RedisParts, run: Held, *numbers: int) -> list[Envelope]:
    lines = [make_line(run.batch, number) for number in numbers]
    assert await parts.batches.feed(run.batch.id, run.token, lines) == [True] * len(lines)
    return lines


async def end(parts: RedisParts, line: Envelope) -> None:
    assert isinstance(await parts.store.claim(line, SLOT), Run)
    assert (await parts.store.finish(line, a_result(), 1, SLOT)).won


async def gather(parts: RedisParts, run: Held, *lines: int, number: int = 1) -> bool:
    return await parts.batches.gathered(run.batch.id, run.token, a_step(run, *lines, number=number))


def a_step(run: Held, *lines: int, number: int = 1) -> Gathered:
    output = Part(f"batches/{run.batch.id}/output/{run.token}-{number}", 10)
    return Gathered(lines, Counts(len(lines)), BatchUsage(1, 1), 1.0, output)


async def ended_lines(parts: RedisParts, run: Held) -> list[int]:
    return [each.line for each in await parts.batches.ends(run.batch.id, 100, 1_000_000)]


async def ask(parts: RedisParts, run: Held, command: str, key: str, *args: Any) -> Any:
    """Run a command on a key of the batch's partition."""
    tag = parts.store._keys.tag(run.batch.id)
    return await parts.store._batcher.submit(tag, command, "{" + tag + "}:" + key, *args)


async def rollback_to_now(parts: RedisParts, run: Held) -> Callable[[], Awaitable[None]]:
    """Return what brings the batch's partition back to how it is now."""
    tag = parts.store._keys.tag(run.batch.id)
    prefix = "{" + tag + "}:"

    async def keys() -> set[str]:
        return {each.replace("<id>", run.batch.id) for each in await keys_of(parts, run)}

    kept = {each: await ask(parts, run, "DUMP", each) for each in await keys()}

    async def roll_back() -> None:
        for each in await keys():
            await parts.store._batcher.submit(tag, "DEL", prefix + each)
        for each, dumped in kept.items():
            await parts.store._batcher.submit(tag, "RESTORE", prefix + each, 0, dumped)

    return roll_back


async def keys_of(parts: RedisParts, run: Held) -> set[str]:
    """Return what there is in the batch's partition, its id left out."""
    tag = parts.store._keys.tag(run.batch.id)
    prefix = "{" + tag + "}:"
    found = await parts.store._batcher.submit(tag, "KEYS", prefix.replace("{", "\\{") + "*")
    return {each.decode().removeprefix(prefix).replace(run.batch.id, "<id>") for each in found}


async def test_lines_that_differ_in_everything_keep_what_is_theirs(parts: RedisParts) -> None:
    run = await begun(parts)
    now = time.time()
    lines = [
        make_line(run.batch, 0),
        make_line(run.batch, 1, model="n", lane=Lane.FLOOD, not_before=now + 5, generation=2),
        make_line(run.batch, 2, priority=Priority.LOW, deadline=now + 9, metadata={}),
        make_line(run.batch, 3, metadata={"batch_id": "another", "a": "b"}, quiet=False),
        make_line(run.batch, 4, accepted_at=now - 5, webhook='{"url": "https://ü.example"}'),
        make_line(run.batch, 5),
    ]
    assert await parts.batches.feed(run.batch.id, run.token, lines) == [True] * 6
    for line in lines:
        assert await parts.store.get(line.id) == replace(born(line), published=True)
    assert await parts.store.waiting("m") == {
        Priority.BATCH: {"acme": 4},
        Priority.LOW: {"acme": 1},
    }
    assert await parts.store.waiting("n") == {Priority.BATCH: {"acme": 1}}
    assert await parts.store.open_count("acme") == 6


async def test_more_lines_than_one_script_takes(parts: RedisParts) -> None:
    run = await begun(parts)
    await fed(parts, run, *range(250))
    assert list(await parts.batches.unended(run.batch.id)) == list(range(250))
    assert await parts.store.open_count("acme") == 250


async def test_a_waiting_line_is_small(parts: RedisParts) -> None:
    run = await begun(parts)
    (line,) = await fed(parts, run, 0)
    tag, key = parts.store._keys.tag(line.id), parts.store._keys.record(line.id)
    assert await parts.store._batcher.submit(tag, "OBJECT", "ENCODING", key) == b"listpack"
    assert await parts.store._batcher.submit(tag, "MEMORY", "USAGE", key) < 600


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_a_line_that_is_gathered_leaves_nothing_but_bits(
    parts: RedisParts, order: str
) -> None:
    run = await begun(parts, order=order)
    lines = await fed(parts, run, *range(20))
    for line in lines:
        await end(parts, line)
    assert await ended_lines(parts, run) == list(range(20))
    assert await gather(parts, run, *range(20))
    kept = await keys_of(parts, run)
    files = {each for each in kept if each.startswith("files:file-")}
    assert len(files) == 2, "the output and its parts"
    assert kept - files == {
        "batches",
        "batches:<id>",
        "batches:<id>:done",
        "batches:<id>:hold",
        "batches:of:acme",
        "counts",
        "files",
        "files:of:acme",
        "outbox",
        "waiting",
    }
    await parts.batches.move(run.batch.id, run.token, BatchStatus.EXPIRED, time.time())
    assert "batches:<id>:done" not in await keys_of(parts, run)


async def test_what_nobody_gathers_does_not_stay_for_ever(parts: RedisParts) -> None:
    run = await begun(parts)
    (line,) = await fed(parts, run, 0)
    await end(parts, line)
    for key in (f"rec:{line.id}", f"res:{line.id}"):
        left_ms = await ask(parts, run, "PTTL", key)
        assert _MONTH_MS < left_ms < 2 * _MONTH_MS


async def test_a_line_whose_body_a_client_may_ask_for_keeps_none(parts: RedisParts) -> None:
    """It stands in the input of its batch."""
    run = await begun(parts, endpoint="/v1/responses")
    (line,) = await fed(parts, run, 0)
    assert await parts.store.asked(line.id) is None
    (rebuilt,) = [make_line(run.batch, 1)]
    await end(parts, rebuilt)
    assert await parts.store.asked(rebuilt.id) is None


@pytest.mark.parametrize("order", ["completion", "input"])
@pytest.mark.parametrize("what", ["rec", "res"])
async def test_an_end_that_redis_has_lost_is_none(parts: RedisParts, order: str, what: str) -> None:
    run = await begun(parts, order=order)
    lines = await fed(parts, run, 0, 1, 2)
    for line in lines:
        await end(parts, line)
    await ask(parts, run, "DEL", f"{what}:{lines[1].id}")
    found = await ended_lines(parts, run)
    assert 1 not in found
    assert await gather(parts, run, *found)
    assert list(await parts.batches.lost(run.batch.id)) == [1]
    await fed(parts, run, 1)
    await end(parts, lines[1])
    left = sorted(await ended_lines(parts, run))
    assert sorted([*found, *left]) == [0, 1, 2]
    assert await gather(parts, run, *left, number=2)
    assert list(await parts.batches.unended(run.batch.id)) == []


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_a_run_whose_steps_redis_has_lost_ends_nothing(parts: RedisParts, order: str) -> None:
    """It has counted those lines: it would take its batch for complete without them."""
    first = await begun(parts, order=order)
    run = Held((await parts.batches.hold(first.batch.id) or first).batch, first.token)
    for line in await fed(parts, run, 0, 1, 2):
        await end(parts, line)
    roll_back = await rollback_to_now(parts, run)
    held = HeldBatch(parts.batches, run)
    await held.gathered(a_step(run, 0, 1))
    await roll_back()
    with pytest.raises(Fenced):
        await held.gathered(a_step(run, 2))
    with pytest.raises(Fenced):
        await held.move(BatchStatus.FINALIZING)
    again = await parts.batches.hold(run.batch.id)
    assert again is not None
    held = HeldBatch(parts.batches, again)
    await held.gathered(a_step(run, 0, 1))
    await held.move(BatchStatus.FINALIZING)
    roll_back = await rollback_to_now(parts, run)
    await held.gathered(a_step(run, 2))
    await roll_back()
    with pytest.raises(Fenced):
        await held.move(BatchStatus.COMPLETED)


async def test_what_redis_has_lost_of_a_fed_line_is_known(parts: RedisParts) -> None:
    run = await begun(parts)
    lines = await fed(parts, run, *range(12))
    await end(parts, lines[3])
    assert await gather(parts, run, 3)
    for number in (2, 9):
        await ask(parts, run, "DEL", f"rec:{line_id(run.batch.id, number)}")
    assert list(await parts.batches.lost(run.batch.id)) == [2, 9]
    assert list(await parts.batches.unended(run.batch.id)) == [
        each for each in range(12) if each != 3
    ]


async def test_a_line_that_was_made_before_a_rollback_counts_as_made(parts: RedisParts) -> None:
    """Its message is older than what Redis knows; so are those of the lines before it."""
    run = await begun(parts)
    line = make_line(run.batch, 2)
    assert await parts.store.claim(line, SLOT) == Run(1, 0)
    known = await parts.batches.get(run.batch.id)
    assert known is not None
    assert known.made == 3
    assert list(await parts.batches.lost(run.batch.id)) == [0, 1]
    flags = await parts.batches.feed(
        run.batch.id, run.token, [make_line(run.batch, number) for number in range(4)]
    )
    assert flags == [True, True, False, True]
