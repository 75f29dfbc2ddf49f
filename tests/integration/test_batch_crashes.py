"""Whatever a batch's runner does when it dies, is stopped or is not heard: each line once."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from workers.batches.runners import Runners

# Of each call of a run, so many.
_NUMBERS = 2
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
    cancelled: bool = False
    lasts_s: float = 86_400.0


def _ids(*numbers: int) -> set[str]:
    return {f"c{number}" for number in numbers}


_SCENARIOS = {
    "completes": Scenario(_MIXED, BatchStatus.COMPLETED, _ids(*range(7))),
    "in order": Scenario(_MIXED, BatchStatus.COMPLETED, _ids(*range(7)), terms={"order": "input"}),
    # Of those that were not claimed before the cancel none is written, and nobody claims c4 or c6.
    "cancelled": Scenario(
        _HALF_STUCK, BatchStatus.CANCELLED, _ids(0, 1, 2), _ids(3, 5, 7, 8), cancelled=True
    ),
    "cancelled, with all": Scenario(
        _HALF_STUCK,
        BatchStatus.CANCELLED,
        _ids(*range(9)),
        terms={"include_cancelled": True},
        cancelled=True,
    ),
    "expires": Scenario(_HALF_STUCK, BatchStatus.EXPIRED, _ids(*range(9)), lasts_s=4.0),
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


async def carried(
    engine: Engine, config: Config, scenario: Scenario, point: Point | None = None
) -> FaultyEngine:
    """Run a batch of the scenario, which meets `point` once, and check what became of it."""
    # Each of a tenant of its own: they would share a window.
    terms = {"tenant": secrets.token_hex(4), "deadline": time.time() + scenario.lasts_s}
    batch = await submit(engine, lines_for(scenario.models), **terms, **scenario.terms)

    async def by_another() -> None:
        held = await engine.batches.hold(batch.id)
        if held is not None:
            await engine.batches.let_go(batch.id, held.token)
        async with served(FaultyEngine(engine, batch.id).as_engine(), config):
            await told(engine, batch)

    faulty = FaultyEngine(engine, batch.id, point, by_another)
    async with served(faulty.as_engine(), config):
        if scenario.cancelled:
            await _cancel_later(engine, batch)
        await told(engine, batch)
    await faulty.settle()
    await _check(engine, await now_of(engine, batch), scenario)
    return faulty


async def _cancel_later(engine: Engine, batch: Batch) -> None:
    """Cancel it once all that ends by itself has ended."""
    await until(engine, batch, lambda now: now.counts.ended == 3)
    await engine.batches.cancel(batch.id, time.time())


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
async def test_a_crash_anywhere_changes_nothing(name: str, tmp_path: Path, config: Config) -> None:
    # Every crash is logged with its traceback, whose rendering takes longer than all the rest.
    with capture_logs():
        await _crash_everywhere(_SCENARIOS[name], tmp_path, config)


async def _crash_everywhere(scenario: Scenario, tmp_path: Path, config: Config) -> None:
    async with running(tmp_path) as engine, hand_for(engine):
        points = _points((await carried(engine, config, scenario)).calls)
        runs = await asyncio.gather(
            *(_carried(engine, config, scenario, point) for point in points)
        )
    assert [run for run in runs if isinstance(run, str)] == []
    # How often a call is made differs from run to run.
    reached = {point.name for point, run in zip(points, runs, strict=True) if run is True}
    assert reached == {point.name for point in points}


async def _carried(engine: Engine, config: Config, scenario: Scenario, point: Point) -> bool | str:
    """Return whether the run met the point, or what went wrong: all are run to their ends."""
    try:
        return (await carried(engine, config, scenario, point)).reached
    except (AssertionError, TimeoutError) as error:
        return f"{point}: {error!r}"
