"""What an operator has paused or drains: alike for all processes, and kept over their ends."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from broker.ports import State
from broker.switchboard import SwitchBoard
from tests.conformance.stages import Process, Stage, two_processes


async def test_nothing_is_switched_at_first(engine: Process) -> None:
    assert await engine.switches.all() == {}


async def test_a_model_and_a_backend_of_one_name_are_two_things(engine: Process) -> None:
    await engine.switches.set("model", "a:b", State.PAUSED)
    await engine.switches.set("backend", "a:b", State.DRAINING)
    await engine.switches.set("model", "other", State.DRAINING)
    assert await engine.switches.all() == {
        ("model", "a:b"): State.PAUSED,
        ("backend", "a:b"): State.DRAINING,
        ("model", "other"): State.DRAINING,
    }


async def test_what_runs_again_leaves_nothing_behind(engine: Process) -> None:
    await engine.switches.set("model", "m", State.PAUSED)
    await engine.switches.set("model", "m", State.DRAINING)
    assert await engine.switches.all() == {("model", "m"): State.DRAINING}
    for _ in range(2):
        await engine.switches.set("model", "m", State.RUNNING)
        assert await engine.switches.all() == {}


async def test_a_switch_outlives_the_process_that_set_it(stage: Stage) -> None:
    async with stage.open() as first:
        await first.switches.set("model", "m", State.PAUSED)
    async with stage.open() as second:
        assert await second.switches.all() == {("model", "m"): State.PAUSED}


async def until_told(board: SwitchBoard, process: Process) -> None:
    """Let `process` pause the model m until a board that never looks by itself has heard of it.

    It is set again and again because the connection that hears is made in the background.
    """
    await board.refresh()
    changed = asyncio.Event()
    board.on_change(changed.set)
    following = asyncio.create_task(board.run())
    try:
        async with asyncio.timeout(10):
            while not changed.is_set():
                await process.switches.set("model", "m", State.PAUSED)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), 0.2)
    finally:
        following.cancel()


async def test_a_change_is_told_at_once(engine: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.switchboard._REFRESH_S", 3_600)
    board = SwitchBoard(engine.switches)
    await until_told(board, engine)
    assert not board.model_runs("m")


@two_processes
async def test_a_change_is_told_to_other_processes(
    engine: Process, other: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.switchboard._REFRESH_S", 3_600)
    board = SwitchBoard(other.switches)
    await until_told(board, engine)
    assert not board.model_runs("m")
    assert board.model_runs("other")
