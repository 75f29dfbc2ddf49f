"""The pools follow the plans, and one that could not begin is not taken for served."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from broker.ports import Served
from schemas.config import Config
from schemas.errors import QueueUnavailable
from workers.plan import PoolPlan
from workers.pool import Pool
from workers.pools import Pools
from workers.routing.targets import Target
from workers.rules import Rules

RULES = Rules(Config())


def plan(model: str, slots: int = 1) -> PoolPlan:
    return PoolPlan(model, (Target("b", model),), {"b": slots}, 3, RULES)


class NotedPool:
    """A pool that notes what it is told."""

    def __init__(self, plan: PoolPlan, stage: Stage) -> None:
        self.plan = plan
        self._stage = stage
        self.serves = Served(plan.model, plan.slots["b"])

    async def start(self) -> None:
        self._note("start")
        if self._stage.failures:
            raise self._stage.failures.pop()

    async def apply(self, plan: PoolPlan) -> None:
        self.plan = plan
        self._note("change")

    async def stop_consuming(self) -> None:
        self._note("stop consuming")

    async def finished(self) -> None:
        await self._stage.over.wait()
        self._note("finished")

    async def stop(self) -> None:
        self._note("stop")

    def _note(self, what: str) -> None:
        self._stage.steps.append(f"{what} {self.plan.model}")


class Stage:
    """Pools without a queue."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.failures: list[Exception] = []
        self.over = asyncio.Event()
        self.pools = Pools(lambda plan: cast(Pool, NotedPool(plan, self)))

    async def apply(self, *plans: PoolPlan) -> list[str]:
        """Apply the plans and return the steps that this took."""
        self.steps.clear()
        await self.pools.apply({plan.model: plan for plan in plans})
        return list(self.steps)


async def test_only_what_differs_is_touched() -> None:
    stage = Stage()
    assert await stage.apply(plan("a"), plan("b")) == ["start a", "start b"]
    assert await stage.apply(plan("a"), plan("b")) == []
    assert await stage.apply(plan("a"), plan("b", slots=2)) == ["change b"]
    assert await stage.apply(plan("b", slots=2)) == ["stop consuming a"]


async def test_a_removed_pool_finishes_what_runs_while_its_model_is_back() -> None:
    stage = Stage()
    await stage.apply(plan("a"))
    await stage.apply()
    assert stage.pools.serves() == []
    assert await stage.apply(plan("a")) == ["start a"]
    finishing = asyncio.create_task(stage.pools.finished())
    await asyncio.sleep(0)
    assert not finishing.done()
    stage.over.set()
    await finishing
    await asyncio.sleep(0)
    assert stage.steps.count("finished a") == 3
    assert stage.steps.count("stop a") == 1
    await stage.pools.stop()


async def test_a_pool_that_could_not_start_is_tried_again() -> None:
    stage = Stage()
    stage.failures.append(QueueUnavailable("away"))
    with pytest.raises(QueueUnavailable):
        await stage.apply(plan("a"))
    assert stage.pools.plans == {}
    assert await stage.apply(plan("a")) == ["start a"]
