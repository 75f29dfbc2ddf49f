"""An engine on which calls of one batch's runner fail, or come late, in chosen ways."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from broker.ports import Engine
from schemas.errors import StoreUnavailable

# before, after: the process dies there. unknown: it is done, but the answer is lost. frozen: the
# process stands still there, until another one has run the batch to its end.
Mode = Literal["before", "after", "unknown", "frozen"]
_PARTS = ("batches", "store", "queue", "files", "blobs", "upkeep", "webhooks", "members")
# These are not steps of a run.
_FREE = {"batches.unfinished", "batches.let_go", "batches.get"}


class Crash(Exception):
    """The process would be dead now."""


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`th call of `name`, from 1."""

    name: str
    number: int
    mode: Mode

    async def choose(self, name: str, number: int) -> Mode | None:
        """Fail at this one call."""
        return self.mode if (name, number) == (self.name, self.number) else None


# Told of each call, and which one of its name it is, before it is made.
Choose = Callable[[str, int], Awaitable[Mode | None]]


class FaultyEngine:
    """`engine`, as the runner of the batch `batch_id` sees it; calls fail as `choose` says.

    `thaw` lets another process run the batch to its end.
    """

    def __init__(
        self,
        engine: Engine,
        batch_id: str,
        choose: Choose | None = None,
        thaw: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = engine.name
        self.owner = engine.owner
        self.batch_id = batch_id
        self.calls: Counter[str] = Counter()
        self._engine = engine
        self._choose = choose
        self._thaw = thaw
        self._late: set[asyncio.Task[Any]] = set()
        for part in _PARTS:
            setattr(self, part, _Part(self, part, getattr(engine, part)))

    def as_engine(self) -> Engine:
        """Return it as what it stands for."""
        return cast("Engine", self)

    async def settle(self) -> None:
        """Return when what came late has been done."""
        while self._late:
            await asyncio.wait(self._late)

    async def call(self, name: str, method: Any, args: Any, named: Any) -> Any:
        """Make one call of the runner."""
        if name == "batches.unfinished":
            return [each for each in await method() if each == self.batch_id]
        if name in _FREE:
            return await method(*args, **named)
        self.calls[name] += 1
        if name == "batches.hold" and self._late:
            return None  # the other process has it, though it has our name here
        mode = await self._choose(name, self.calls[name]) if self._choose is not None else None
        if mode is None:
            return await method(*args, **named)
        return await self._fail(mode, method, args, named)

    async def _fail(self, mode: Mode, method: Any, args: Any, named: Any) -> Any:
        if mode == "before":
            raise Crash
        if mode == "frozen":
            late = asyncio.create_task(self._come_late(method, args, named))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            return await asyncio.shield(late)
        await method(*args, **named)
        raise Crash if mode == "after" else StoreUnavailable("nobody knows")

    async def _come_late(self, method: Any, args: Any, named: Any) -> Any:
        assert self._thaw is not None
        await self._thaw()
        return await method(*args, **named)


class _Part:
    def __init__(self, engine: FaultyEngine, name: str, part: Any) -> None:
        self._engine = engine
        self._name = name
        self._part = part

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **named: Any) -> Any:
            return await self._engine.call(f"{self._name}.{name}", method, args, named)

        return call
