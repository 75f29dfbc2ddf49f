"""Following batches: one look for all readers, only news are told, the end is the last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import pytest

from api.batches import watching
from api.batches.watching import Watching
from broker.lifecycle import Tasks
from broker.ports import Batches
from schemas.batches import Batch, BatchStatus, Counts
from schemas.errors import StoreUnavailable
from tests.fakes.batches import make_batch


class OneBatch:
    """A store of one batch, whose looks are counted."""

    def __init__(self) -> None:
        self.batch: Batch | None = replace(make_batch(), status=BatchStatus.IN_PROGRESS, total=9)
        self.looks = 0
        self.looked = asyncio.Event()
        self.away = False

    async def get(self, batch_id: str) -> Batch | None:
        self.looks += 1
        self.looked.set()
        if self.away:
            raise StoreUnavailable("away")
        return self.batch

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.looked.clear()
            async with asyncio.timeout(10):
                await self.looked.wait()

    def completed(self, lines: int, status: BatchStatus = BatchStatus.IN_PROGRESS) -> None:
        assert self.batch is not None
        self.batch = replace(self.batch, counts=Counts(lines), status=status)


class Stage:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching, "_LOOK_S", 0.001)
        self.store = OneBatch()
        self.tasks = Tasks("test")
        self.watching = Watching(cast(Batches, self.store), self.tasks)

    async def nothing_looks(self) -> None:
        async with asyncio.timeout(10):
            await self.tasks.join()

    def telling(self) -> Any:
        assert self.store.batch is not None
        return self.watching.telling(self.store.batch)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    made = Stage(monkeypatch)
    yield made
    await made.tasks.stop()


async def told(blocks: Any) -> dict[str, Any]:
    async with asyncio.timeout(10):
        block = await anext(blocks)
    name, data = block.decode().removesuffix("\n\n").split("\n")
    assert name == "event: batch"
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


async def test_every_reader_is_told_how_it_is_what_changes_and_the_end(stage: Stage) -> None:
    readers = [stage.telling() for _ in range(5)]
    assert [(await told(each))["request_counts"]["completed"] for each in readers] == [0] * 5
    await stage.store.look(3)
    stage.store.completed(4)
    assert [(await told(each))["request_counts"]["completed"] for each in readers] == [4] * 5
    stage.store.completed(9, BatchStatus.COMPLETED)
    assert [(await told(each))["status"] for each in readers] == ["completed"] * 5
    for each in readers:
        with pytest.raises(StopAsyncIteration):
            await anext(each)
    await stage.nothing_looks()


async def test_many_readers_cost_one_look_each_time(stage: Stage) -> None:
    readers = [stage.telling() for _ in range(50)]
    for each in readers:
        await told(each)
    assert len(stage.tasks) == 1
    for each in readers:
        await each.aclose()
    await stage.nothing_looks()
    looks = stage.store.looks
    await told(late := stage.telling())
    await stage.store.look()
    assert stage.store.looks == looks + 1
    await late.aclose()


async def test_a_batch_that_has_ended_is_told_once_and_not_looked_for(stage: Stage) -> None:
    stage.store.completed(9, BatchStatus.COMPLETED)
    async with aclosing(stage.telling()) as blocks:
        assert [block async for block in blocks] != []
    assert stage.store.looks == 0


async def test_a_store_that_is_away_ends_no_telling(stage: Stage) -> None:
    async with aclosing(stage.telling()) as blocks:
        await told(blocks)
        stage.store.away = True
        await stage.store.look(3)
        stage.store.away = False
        stage.store.completed(5)
        assert (await told(blocks))["request_counts"]["completed"] == 5


async def test_a_batch_that_is_gone_ends_its_telling(stage: Stage) -> None:
    async with aclosing(stage.telling()) as blocks:
        await told(blocks)
        stage.store.batch = None
        async with asyncio.timeout(10):
            assert [block async for block in blocks] == []


async def test_nothing_is_silent_for_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_QUIET_S", 0.01)
    async with aclosing(stage.telling()) as blocks:
        await told(blocks)
        assert await anext(blocks) == b": nothing new\n\n"


async def test_a_process_that_ends_says_so(stage: Stage) -> None:
    async with aclosing(stage.telling()) as blocks:
        await told(blocks)
        next_one = asyncio.ensure_future(anext(blocks))
        await stage.store.look()
        stage.watching.release()
        assert await next_one == b": the server goes away; ask again\n\n"
        with pytest.raises(StopAsyncIteration):
            await anext(blocks)
    assert [block async for block in stage.telling()] == [b": the server goes away; ask again\n\n"]
