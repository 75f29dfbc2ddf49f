"""A process acts on the switches as it last knew them, and starts nothing before it knows any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from broker import switchboard
from broker.ports import State, Switched
from broker.switchboard import SwitchBoard
from schemas.errors import StoreUnavailable


class Held:
    """Switches that a test sets by hand; `away` while the engine does not answer."""

    def __init__(self) -> None:
        self.states: dict[tuple[Switched, str], State] = {}
        self.away = False
        self.looks = 0

    async def set(self, kind: Switched, name: str, state: State) -> None:
        self.states[kind, name] = state

    async def all(self) -> dict[tuple[Switched, str], State]:
        self.looks += 1
        if self.away:
            raise StoreUnavailable("away")
        return dict(self.states)

    def on_change(self, tell: Callable[[], None]) -> None: ...


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  because what it waits for has no event
            await asyncio.sleep(0.005)


async def test_the_last_known_state_is_kept_while_the_engine_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(switchboard, "_REFRESH_S", 0.01)
    held = Held()
    await held.set("model", "m", State.PAUSED)
    board = SwitchBoard(held)
    following = asyncio.create_task(board.run())
    await until(lambda: board.model_runs("other"))
    held.away = True
    looks = held.looks
    await until(lambda: held.looks > looks + 2)
    assert not board.model_runs("m")
    assert board.model_runs("other")
    held.away = False
    await held.set("model", "m", State.RUNNING)
    await until(lambda: board.model_runs("m"))
    following.cancel()


async def test_nothing_starts_before_the_switches_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(switchboard, "_FIRST_S", 0.01)
    held, woken = Held(), []
    held.away = True
    board = SwitchBoard(held)
    board.on_change(lambda: woken.append(1))
    following = asyncio.create_task(board.run())
    await until(lambda: held.looks > 2)
    assert not board.model_runs("m")
    assert woken == []
    held.away = False
    await until(lambda: board.model_runs("m"))
    assert woken == [1]
    following.cancel()


async def test_only_a_change_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "_REFRESH_S", 0.01)
    held, woken = Held(), []
    board = SwitchBoard(held)
    await board.refresh()
    board.on_change(lambda: woken.append(1))
    for _ in range(3):
        await board.refresh()
    assert woken == []
    await held.set("backend", "b", State.DRAINING)
    await board.refresh()
    assert woken == [1]
    assert board.backend_state("b") is State.DRAINING


async def test_a_draining_model_still_serves_what_waits() -> None:
    held = Held()
    await held.set("model", "m", State.DRAINING)
    board = SwitchBoard(held)
    await board.refresh()
    assert board.model_runs("m")
