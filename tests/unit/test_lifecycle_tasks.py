"""Background tasks: restarted when they die, finished when they must, gone after stop."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from broker.lifecycle import Tasks, backoff


def test_pauses_grow_with_jitter_up_to_a_limit() -> None:
    pauses = list(itertools.islice(backoff(0.2, 5.0), 10))
    assert 0.1 <= pauses[0] <= 0.2
    assert all(2.5 <= pause <= 5.0 for pause in pauses[6:])


async def test_a_task_that_dies_starts_again_until_it_returns() -> None:
    tasks = Tasks("test")
    done = asyncio.Event()
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("on purpose")
        if runs == 2:
            # As a library does that cancels a future somebody waits for.
            raise asyncio.CancelledError
        done.set()

    tasks.supervise("work", work)
    async with asyncio.timeout(5):
        await done.wait()
    await tasks.stop()
    assert runs == 3


async def test_stop_cancels_what_runs_and_takes_nothing_more() -> None:
    tasks = Tasks("test")
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    tasks.supervise("work", work)
    await asyncio.sleep(0)
    await tasks.stop()
    assert cancelled.is_set()
    with pytest.raises(RuntimeError, match="stopped"):
        tasks.supervise("work", work)
    await tasks.stop()


async def test_stop_gives_its_grace() -> None:
    tasks = Tasks("test")
    ended = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.set()

    tasks.spawn("work", work())
    await tasks.stop(grace_s=5)
    assert ended.is_set()


async def test_a_cancelled_caller_does_not_stop_what_must_finish() -> None:
    tasks = Tasks("test")
    ended = asyncio.Event()

    async def work() -> int:
        await asyncio.sleep(0.02)
        ended.set()
        return 7

    assert await tasks.finish("work", work()) == 7
    ended.clear()
    caller = asyncio.create_task(tasks.finish("work", work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    async with asyncio.timeout(5):
        await ended.wait()
    await tasks.stop()


async def test_the_caller_gets_the_failure_of_what_must_finish() -> None:
    tasks = Tasks("test")

    async def work() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await tasks.finish("work", work())
    await tasks.stop()


async def test_a_task_may_stop_its_own_owner() -> None:
    tasks = Tasks("test")
    ended = asyncio.Event()

    async def work() -> None:
        await tasks.stop()
        ended.set()

    tasks.spawn("work", work())
    async with asyncio.timeout(5):
        await ended.wait()
