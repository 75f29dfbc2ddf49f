"""Whatever a batch's runner does when it dies, is stopped or is not heard: each line once."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs

from broker.ports import Engine
from schemas.batches import Batch, BatchStatus
from schemas.config import Config
from tests.fakes.batch_runs import (
    BAD,
    GOOD,
    IGNORED,
    MODELS,
    STUCK,
    files_of,
    hand_for,
    lines_for,
    now_of,
    submit,
    told,
    until,
)
from tests.fakes.faulty_engine import FaultyEngine, Mode, Point
from tests.integration.embedded import running
from workers.batches import ending, held
from workers.batches import running as running_batches
from workers.batches.runners import Runners

# Of each call of a run, so many.
_NUMBERS = 2
_LASTS_S = 3_600.0
_READS = ("get", "ends", "parts", "unended", "lost", "endpoints", "running")
_MIXED = [GOOD, BAD, GOOD, GOOD, BAD, GOOD, GOOD]
_HALF_STUCK = [GOOD, BAD, GOOD, STUCK, IGNORED, STUCK, IGNORED, GOOD, GOOD]


@dataclass(frozen=True)
class Scenario:
    """A batch, what is done to it, and what has to become of it.

    `there` are the lines that have to be in its files, `perhaps` those that may be.
    """

    models: list[str]
    status: BatchStatus
    there: set[str]
    perhaps: set[str] = field(default_factory=set)
    terms: dict[str, Any] = field(default_factory=dict)
    stopped: Literal["", "cancelled", "expired"] = ""


def _ids(*numbers: int) -> set[str]:
    return {f"c{number}" for number in numbers}


_SCENARIOS = {
    "completes": Scenario(_MIXED, BatchStatus.COMPLETED, _ids(*range(7))),
    "in order": Scenario(_MIXED, BatchStatus.COMPLETED, _ids(*range(7)), terms={"order": "input"}),
    # Of those that were not claimed before the cancel none is written, and nobody claims c4 or c6.
    "cancelled": Scenario(
        _HALF_STUCK, BatchStatus.CANCELLED, _ids(0, 1, 2), _ids(3, 5, 7, 8), stopped="cancelled"
    ),
    "cancelled, with all": Scenario(
        _HALF_STUCK,
        BatchStatus.CANCELLED,
        _ids(*range(9)),
        terms={"include_cancelled": True},
        stopped="cancelled",
    ),
    "expires": Scenario(_HALF_STUCK, BatchStatus.EXPIRED, _ids(*range(9)), stopped="expired"),
}


@pytest.fixture
def config() -> Config:
    """A window that takes several steps to feed these batches."""
    targets = {"targets": [{"backend": "b"}]}
    return Config.model_validate(
        {
            "backends": {"b": {"urls": ["http://127.0.0.1:9/v1"]}},
            "models": dict.fromkeys(MODELS, targets),
            "batches": {"window": 6},
        }
    )


@asynccontextmanager
async def served(engine: Engine, config: Config) -> AsyncIterator[None]:
    """Run batches with `engine` until the end of the block."""
    runners = Runners(engine, config)
    runners.start()
    try:
        yield
    finally:
        await runners.stop()


class Clock:
    """The time as runners know it: all deadlines pass at once, when each batch has come so far."""

    def __init__(self, batches: int) -> None:
        self.monotonic = time.monotonic
        self._all_there = asyncio.Barrier(batches)
        self._later_s = 0.0

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time() + self._later_s

    async def pass_deadlines(self) -> None:
        """Let them pass once all have asked for it."""
        await self._all_there.wait()
        self._later_s = 2 * _LASTS_S


async def carried(
    engine: Engine, config: Config, scenario: Scenario, clock: Clock, point: Point | None = None
) -> FaultyEngine:
    """Run a batch of the scenario, which meets `point` once, and check what became of it."""
    # Each of a tenant of its own: they would share a window.
    terms = {"tenant": secrets.token_hex(4), "deadline": time.time() + _LASTS_S}
    batch = await submit(engine, lines_for(scenario.models), **terms, **scenario.terms)

    async def by_another() -> None:
        found = await engine.batches.hold(batch.id)
        if found is not None:
            await engine.batches.let_go(batch.id, found.token)
        async with served(FaultyEngine(engine, batch.id).as_engine(), config):
            await told(engine, batch)

    choose = None if point is None else point.choose
    faulty = FaultyEngine(engine, batch.id, choose, by_another)
    async with served(faulty.as_engine(), config):
        if scenario.stopped:
            # Once all that ends by itself has ended.
            await until(engine, batch, lambda now: now.counts.ended >= 3)
        if scenario.stopped == "cancelled":
            await engine.batches.cancel(batch.id, time.time())
        elif scenario.stopped == "expired":
            await clock.pass_deadlines()
        await told(engine, batch)
    await faulty.settle()
    await _check(engine, await now_of(engine, batch), scenario)
    return faulty


async def _check(engine: Engine, batch: Batch, scenario: Scenario) -> None:
    assert batch.status is scenario.status
    output, errors = await files_of(engine, batch)
    assert scenario.there <= output.keys() | errors.keys() <= scenario.there | scenario.perhaps
    for number, model in enumerate(scenario.models):
        if f"c{number}" in output:
            assert model == GOOD
    if scenario.terms.get("order") == "input":
        for lines in (output, errors):
            assert [*lines] == sorted(lines)
    assert await engine.batches.ends(batch.id, 10, 10_000) == []
    assert list(await engine.batches.unended(batch.id)) == []


def _points(calls: dict[str, int]) -> list[Point]:
    modes: dict[bool, tuple[Mode, ...]] = {
        True: ("before", "unknown"),
        False: ("before", "after", "unknown", "frozen"),
    }
    return [
        Point(name, number, mode)
        for name, count in sorted(calls.items())
        for number in range(1, min(count, _NUMBERS) + 1)
        for mode in modes[name.rpartition(".")[2] in _READS]
    ]


@pytest.mark.parametrize("name", _SCENARIOS)
async def test_a_crash_anywhere_changes_nothing(
    name: str, tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = _SCENARIOS[name]

    def clock_for(batches: int) -> Clock:
        clock = Clock(batches)
        for module in (running_batches, held, ending):
            monkeypatch.setattr(module, "time", clock)
        return clock

    # Every crash is logged with its traceback, whose rendering takes longer than all the rest.
    with capture_logs():
        async with running(tmp_path) as engine, hand_for(engine):
            points = _points((await carried(engine, config, scenario, clock_for(1))).calls)
            clock = clock_for(len(points))
            runs = await asyncio.gather(
                *(_carried(engine, config, scenario, clock, point) for point in points)
            )
    assert [run for run in runs if isinstance(run, str)] == []
    # How often a call is made differs from run to run.
    reached = {point.name for point, run in zip(points, runs, strict=True) if run is True}
    assert reached == {point.name for point in points}


async def _carried(
    engine: Engine, config: Config, scenario: Scenario, clock: Clock, point: Point
) -> bool | str:
    """Return whether the run met the point, or what went wrong: all are run to their ends."""
    try:
        calls = (await carried(engine, config, scenario, clock, point)).calls
        return calls[point.name] >= point.number
    except (AssertionError, TimeoutError) as error:
        return f"{point}: {error!r}"
