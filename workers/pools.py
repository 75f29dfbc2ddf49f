"""The pools of a process: one for each model it serves, and those that only finish what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from broker.lifecycle import Tasks
from broker.ports import Served
from workers.plan import PoolPlan
from workers.pool import Pool

_log = structlog.get_logger("penstock.pools")


class Pools:
    """Keeps the pools as the plans say; its caller never changes them twice at once."""

    def __init__(self, make: Callable[[PoolPlan], Pool]) -> None:
        self._make = make
        self._pools: dict[str, Pool] = {}
        self._leaving: set[Pool] = set()
        self._tasks = Tasks("pools")

    def serves(self) -> list[Served]:
        """Return what this process serves now, for the heartbeat."""
        return [pool.serves for pool in self._pools.values()]

    @property
    def plans(self) -> dict[str, PoolPlan]:
        """What each model is served by."""
        return {model: pool.plan for model, pool in self._pools.items()}

    async def apply(self, plans: Mapping[str, PoolPlan]) -> None:
        """Change, open and close pools until each of `plans` has one."""
        known = [model for model in plans if model in self._pools]
        changed = [model for model in known if self._pools[model].plan != plans[model]]
        await asyncio.gather(*(self._pools[model].apply(plans[model]) for model in changed))
        for model in plans:
            if model not in known:
                await self._open(plans[model])
        gone = [model for model in self._pools if model not in plans]
        await asyncio.gather(*(self._close(model) for model in gone))

    async def stop_consuming(self) -> None:
        """Take nothing new and hand back what has not started."""
        # Those that leave as well: their own end may have been cut short.
        await asyncio.gather(*(pool.stop_consuming() for pool in self._all()))

    async def finished(self) -> None:
        """Return when every started delivery is settled."""
        await asyncio.gather(*(pool.finished() for pool in self._all()))

    async def stop(self) -> None:
        """Drop what still runs."""
        await self._tasks.stop()
        for pool in self._all():
            await pool.stop()

    def _all(self) -> list[Pool]:
        return [*self._pools.values(), *self._leaving]

    async def _open(self, plan: PoolPlan) -> None:
        pool = self._pools[plan.model] = self._make(plan)
        try:
            await pool.start()
        except BaseException:
            # Else it would count as served, and never be tried again.
            await self._close(plan.model)
            raise
        _log.info("serves", model=plan.model, slots=pool.serves.slots)

    async def _close(self, model: str) -> None:
        """Serve a model no more; its waiting requests stay in their queue."""
        pool = self._pools.pop(model)
        self._leaving.add(pool)
        await pool.stop_consuming()
        _log.info("serves no more", model=model, running=pool.serves.running)
        self._tasks.spawn(f"finish {model}", self._see_off(pool))

    async def _see_off(self, pool: Pool) -> None:
        await pool.finished()
        await pool.stop()
        self._leaving.discard(pool)
