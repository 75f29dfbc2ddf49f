"""How often a process asks for the batches that others have."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from broker.ports import Engine
from schemas.config import Config
from workers.batches.runners import Runners


class _OfOthers:
    """Batches that other processes have; each time one is asked for, some batch changes."""

    def __init__(self) -> None:
        self.ids = [f"batch_{number}" for number in range(40)]
        self.asked: Counter[str] = Counter()
        self.looks = 0
        self.looked = asyncio.Event()
        self._tell: Callable[[], None] = lambda: None

    def on_changed(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    async def unfinished(self) -> list[str]:
        self.looks += 1
        for _ in range(5):
            await asyncio.sleep(0)
        if self.looks == 20:
            self.looked.set()
        if self.looks < 20:
            self._tell()
        return [*self.ids, f"batch_new_{self.looks}"]

    async def hold(self, batch_id: str) -> None:
        self.asked[batch_id] += 1


class _Engine:
    def __init__(self, batches: _OfOthers) -> None:
        self.batches = batches

    def __getattr__(self, name: str) -> Any:
        return None


async def test_changes_bring_new_batches_at_once_and_no_storm_of_questions() -> None:
    batches = _OfOthers()
    runners = Runners(cast("Engine", _Engine(batches)), Config())
    runners.start()
    async with asyncio.timeout(30):
        await batches.looked.wait()
    await runners.stop()
    looks = range(1, 20)
    assert [batches.asked[f"batch_new_{look}"] for look in looks] == [1] * len(looks)
    assert sum(batches.asked[each] for each in batches.ids) < 3 * len(batches.ids)
