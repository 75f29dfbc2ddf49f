"""Any batch, whatever happens to it and its runners: each line once, and the counts are true."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.ports import Engine
from schemas.batches import Batch, BatchStatus
from schemas.config import Config
from schemas.ids import line_id
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
)
from tests.fakes.faulty_engine import FaultyEngine, Mode
from tests.integration.embedded import running
from workers.batches import ending, held
from workers.batches import running as running_batches
from workers.batches.runners import Runners

_LASTS_S = 3_600.0
What = Mode | Literal["pause", "resume", "cancel", "expire"]
_FAULTS = ("before", "after", "unknown", "frozen")


@dataclass(frozen=True)
class Plan:
    """A batch, and what happens before which calls of its runner, counted from the one before."""

    models: list[str]
    window: int
    order: str
    include_cancelled: bool
    incidents: list[tuple[int, What]]


plans = st.builds(
    Plan,
    models=st.lists(
        st.sampled_from([GOOD, GOOD, GOOD, BAD, STUCK, IGNORED]), min_size=1, max_size=15
    ),
    window=st.integers(1, 12),
    order=st.sampled_from(["completion", "input"]),
    include_cancelled=st.booleans(),
    incidents=st.lists(
        st.tuples(
            st.integers(1, 25),
            st.sampled_from([*_FAULTS, *_FAULTS, "pause", "resume", "cancel", "expire"]),
        ),
        max_size=6,
    ),
)


class Clock:
    """The time as runners know it."""

    def __init__(self) -> None:
        self.monotonic = time.monotonic
        self.later_s = 0.0

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time() + self.later_s


class Fate:
    """Lets a plan's incidents happen."""

    def __init__(self, engine: Engine, batch: Batch, plan: Plan, clock: Clock) -> None:
        self._batches = engine.batches
        self._id = batch.id
        self._clock = clock
        self._calls = 0
        gaps = itertools.accumulate(gap for gap, _ in plan.incidents)
        self._incidents = dict(zip(gaps, (what for _, what in plan.incidents), strict=True))
        self.happened: set[What] = set()

    async def choose(self, _name: str, _number: int) -> Mode | None:
        """Let happen what is due before this call."""
        self._calls += 1
        what = self._incidents.get(self._calls)
        if what is None:
            return None
        # The run may end in the middle of what follows, by just that.
        self.happened.add(what)
        if what in ("pause", "resume"):
            await self._batches.pause(self._id, paused=what == "pause")
        elif what == "cancel":
            await self._batches.cancel(self._id, time.time())
        elif what == "expire":
            self._clock.later_s = 2 * _LASTS_S
        return cast("Mode", what) if what in _FAULTS else None


@settings(max_examples=20, deadline=None)
@given(plans)
def test_any_batch_whatever_happens(plan: Plan) -> None:
    clock = Clock()
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        capture_logs(),
    ):
        for module in (running_batches, held, ending):
            patch.setattr(module, "time", clock)
        asyncio.run(_live(plan, clock, Path(folder)))


async def _live(plan: Plan, clock: Clock, folder: Path) -> None:
    config = _config(plan)
    async with running(folder) as engine, hand_for(engine) as ended_by_hand:
        batch = await submit(
            engine,
            lines_for(plan.models),
            deadline=time.time() + _LASTS_S,
            order=plan.order,
            include_cancelled=plan.include_cancelled,
        )

        one_other = asyncio.Lock()

        async def by_another() -> None:
            # All processes have one name here: two others at a time would have the same hold.
            async with one_other:
                found = await engine.batches.hold(batch.id)
                if found is not None:
                    await engine.batches.let_go(batch.id, found.token)
                other = Runners(FaultyEngine(engine, batch.id).as_engine(), config)
                other.start()
                await told(engine, batch)
                await other.stop()

        fate = Fate(engine, batch, plan, clock)
        faulty = FaultyEngine(engine, batch.id, fate.choose, by_another)
        runners = Runners(faulty.as_engine(), config)
        runners.start()
        finishing = asyncio.create_task(_finish(engine, batch, plan))
        await told(engine, batch)
        await finishing
        await runners.stop()
        await faulty.settle()
        await _check(engine, await now_of(engine, batch), plan, fate, ended_by_hand)


def _config(plan: Plan) -> Config:
    targets = {"targets": [{"backend": "b"}]}
    return Config.model_validate(
        {
            "backends": {"b": {"urls": ["http://127.0.0.1:9/v1"]}},
            "models": dict.fromkeys(MODELS, targets),
            "batches": {"window": plan.window},
        }
    )


async def _finish(engine: Engine, batch: Batch, plan: Plan) -> None:
    """End what would not end by itself, again and again: a line may be fed at any time."""
    waiting = [number for number, model in enumerate(plan.models) if model in (STUCK, IGNORED)]
    while not (await now_of(engine, batch)).terminal:
        await asyncio.sleep(0.2)
        await engine.batches.pause(batch.id, paused=False)
        for number in waiting:
            await engine.store.cancel(line_id(batch.id, number))


async def _check(
    engine: Engine, batch: Batch, plan: Plan, fate: Fate, ended_by_hand: set[str]
) -> None:
    output, errors = await files_of(engine, batch)
    ids = {f"c{number}" for number in range(len(plan.models))}
    there = output.keys() | errors.keys()
    ended = {f"c{int(each[-8:], 16)}" for each in ended_by_hand}
    if batch.status is BatchStatus.CANCELLED:
        assert "cancel" in fate.happened
        assert ended <= there <= ids
        # One that was cancelled while it validated has no lines yet.
        assert not plan.include_cancelled or there == ids or not batch.total
    else:
        assert batch.status is BatchStatus.COMPLETED or "expire" in fate.happened
        assert there == ids
    assert {plan.models[int(each[1:])] for each in output} <= {GOOD}
    if plan.order == "input":
        for lines in (output, errors):
            numbers = [int(each[1:]) for each in lines]
            assert numbers == sorted(numbers)
    assert list(await engine.batches.ends(batch.id, 10, 10_000)) == []
    assert await engine.store.open_count(batch.terms.tenant) == 0
