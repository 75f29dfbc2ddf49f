"""Many steps at once, in order, bounded; what fails is raised and nothing is left running."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from cli.flow import GROUP_ITEMS, GROUP_WEIGHT, arriving, in_order


async def numbers(count: int, fails: bool = False) -> AsyncIterator[int]:
    for number in range(count):
        yield number
    if fails:
        raise LookupError("the source")


async def all_of(results: AsyncGenerator[int, None], seen: list[int]) -> None:
    async with aclosing(results):
        async for result in results:
            seen.append(result)  # noqa: PERF401  because what came before a failure counts


async def test_results_come_in_the_order_of_the_input() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(random.random() / 100)
        return number

    async with aclosing(in_order(numbers(50), work, 8)) as results:
        assert [result async for result in results] == list(range(50))


async def test_no_more_than_allowed_are_under_way_or_wait_to_be_taken() -> None:
    begun: list[int] = []

    async def work(number: int) -> int:
        begun.append(number)
        return number

    async with aclosing(in_order(numbers(50), work, 8)) as results:
        async for result in results:
            for _ in range(20):
                await asyncio.sleep(0)
            # The one that is looked at keeps its place.
            assert len(begun) <= result + 8
    assert len(begun) == 50


async def test_a_failure_of_the_source_comes_after_the_results_before_it() -> None:
    seen: list[int] = []

    async def work(number: int) -> int:
        return number

    with pytest.raises(LookupError):
        await all_of(in_order(numbers(3, fails=True), work, 8), seen)
    assert seen == [0, 1, 2]


async def test_a_failure_of_one_ends_the_others() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        if number == 1:
            raise LookupError("one")
        try:
            await asyncio.sleep(0 if number == 0 else 60)
        finally:
            ended.append(number)
        return number

    with pytest.raises(LookupError):
        await all_of(in_order(numbers(4), work, 4), [])
    assert sorted(ended) == [0, 2, 3]


async def test_a_blocking_source_does_not_block_the_loop() -> None:
    go = threading.Event()

    def blocking() -> Iterator[int]:
        yield 1
        go.wait(10)
        yield 2

    async with aclosing(arriving(blocking(), _one)) as groups:
        assert await anext(groups) == [1]
        go.set()
        assert [group async for group in groups] == [[2]]


async def test_a_failure_of_a_blocking_source_is_raised_here() -> None:
    def blocking() -> Iterator[int]:
        yield 1
        raise LookupError("the file")

    groups = arriving(blocking(), _one)
    assert await anext(groups) == [1]
    with pytest.raises(LookupError):
        await anext(groups)


@pytest.mark.parametrize(
    ("weight", "most"), [(1, GROUP_ITEMS), (1_000, GROUP_WEIGHT // 1_000), (GROUP_WEIGHT + 1, 1)]
)
async def test_a_blocking_source_is_read_a_little_ahead_only(weight: int, most: int) -> None:
    read: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            read.append(len(read))
            yield read[-1]

    taken: list[int] = []
    async with aclosing(arriving(endless(), lambda _: weight)) as groups:
        for _ in range(20):
            await asyncio.sleep(0.002)
            group = await anext(groups)
            assert 1 <= len(group) <= most
            taken += group
            # One more is held by the thread, which waits for room.
            assert len(read) <= len(taken) + most + 1
    assert taken == list(range(len(taken)))


async def test_all_of_a_source_arrives_in_order() -> None:
    groups = [group async for group in arriving(iter(range(5_000)), _one)]
    assert [item for group in groups for item in group] == list(range(5_000))
    assert [group async for group in arriving(iter(()), _one)] == []


def _one(_: int) -> int:
    return 1
