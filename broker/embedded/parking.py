"""The alarm clock of parked requests: one timer, set to the earliest of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from broker.embedded import waiting
from broker.embedded.database import Database
from broker.embedded.life import Life
from broker.lifecycle import Tasks
from schemas.errors import EngineError
from schemas.priority import Lane, Priority

_log = structlog.get_logger("penstock.embedded")
# The wall clock may be set: look again at least this often.
_LONGEST_SLEEP_S = 5.0


class Parking:
    """Wakes parked requests at their `not_before` and says whose line they join."""

    def __init__(
        self, database: Database, life: Life, on_ready: Callable[[str, Priority, Lane], None]
    ) -> None:
        self._database = database
        self._life = life
        self._on_ready = on_ready
        self._earlier = asyncio.Event()
        self._tasks = Tasks("parking")

    def start(self) -> None:
        """Begin to watch."""
        self._tasks.supervise("wake the parked", self._watch)

    async def stop(self) -> None:
        """End it; the file keeps what is parked."""
        await self._tasks.stop()

    def look(self) -> None:
        """Look again now: something was parked that may come before all others."""
        self._earlier.set()

    async def _watch(self) -> None:
        while True:
            self._earlier.clear()
            try:
                sleep_s = await self._wake_due()
            except EngineError as error:
                _log.warning("parked requests wait for the store", error=str(error))
                sleep_s = _LONGEST_SLEEP_S
            await self._sleep(sleep_s)

    async def _wake_due(self) -> float:
        """Wake what is due and return how long nothing else is."""
        first = await self._database.read(waiting.first_parked)
        now = self._life.clock()
        if first is None or first > now:
            return _LONGEST_SLEEP_S if first is None else min(first - now, _LONGEST_SLEEP_S)
        ready = await self._database.write(lambda file: waiting.unpark(file, now))
        for model, priority, lane in ready:
            self._on_ready(model, Priority(priority), Lane(lane))
        return 0.0

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._earlier.wait()
        except TimeoutError:
            return
