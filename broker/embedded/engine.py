"""The embedded engine: every port over one SQLite file in one data directory (PROTOCOL 8)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from broker.embedded import runs
from broker.embedded.database import Database
from broker.embedded.free_space import Floor, FreeSpace
from broker.embedded.life import Life
from broker.embedded.limits import EmbeddedLimits
from broker.embedded.members import EmbeddedMembers
from broker.embedded.store import EmbeddedStore
from broker.embedded.upkeep import EmbeddedUpkeep
from broker.embedded.work_queue import EmbeddedQueue

_log = structlog.get_logger("penstock.embedded")
_EXIT_BROKEN = 74  # EX_IOERR: a failed sync is never tried again, a restart recovers


def _exit(_sentence: str) -> None:
    os._exit(_EXIT_BROKEN)


class EmbeddedEngine:
    """Fills `Engine`; one process at a time per data directory."""

    name = "embedded"

    def __init__(
        self,
        data_dir: str | Path,
        *,
        retention_s: float,
        clock: Callable[[], float] = time.time,
        floor: Floor | None = None,
        vfs: str | None = None,
        on_broken: Callable[[str], None] = _exit,
    ) -> None:
        path = Path(data_dir)
        self._life = Life(retention_s, clock)
        self._database = Database(path, vfs, on_broken)
        self.queue = EmbeddedQueue(self._database, self._life)
        self.store = EmbeddedStore(
            self._database, self._life, FreeSpace(path, floor or Floor()), self.queue.placed
        )
        self.upkeep = EmbeddedUpkeep(self._database, self._life, self.store, self.queue)
        self.limits = EmbeddedLimits()
        self.members = EmbeddedMembers(self._life)

    @property
    def owner(self) -> str:
        """This life of the process: `embedded:<epoch>`."""
        return self._life.owner

    async def start(self) -> None:
        """Open the file; what an earlier life was running waits again.

        Raises ConfigError when the directory is in use or cannot be.
        """
        epoch = await self._database.open()
        self._life.owner = f"embedded:{epoch}"
        now, owner = self._life.clock(), self._life.owner
        count = await self._database.write(lambda file: runs.release_older_lives(file, owner, now))
        if count:
            _log.info("requests of the last life wait again", count=count)
        await self.queue.start()

    async def stop(self) -> None:
        """Finish what is being written and give the directory up."""
        await self.queue.stop()
        await self._database.close()
        self.store.waiters.wake_all()

    async def health(self) -> dict[str, str | None]:
        """Return whether the file can be written."""
        return {"store": self._database.trouble}
