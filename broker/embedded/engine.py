"""The embedded engine: every port in one process on one data directory (PROTOCOL 8)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from broker.blobs.directory import DirectoryBlobs
from broker.blobs.opening import default_directory
from broker.embedded.batches import EmbeddedBatches
from broker.embedded.database import Database
from broker.embedded.dead_letters import EmbeddedDeadLetters
from broker.embedded.events import EmbeddedEvents
from broker.embedded.files import EmbeddedFiles
from broker.embedded.hook_posts import free_all
from broker.embedded.life import Life
from broker.embedded.limits import EmbeddedLimits
from broker.embedded.members import EmbeddedMembers
from broker.embedded.rows import Key
from broker.embedded.runs import release_older_lives, unbook_all
from broker.embedded.store import EmbeddedStore
from broker.embedded.switches import EmbeddedSwitches
from broker.embedded.upkeep import EmbeddedUpkeep
from broker.embedded.webhooks import EmbeddedWebhooks
from broker.embedded.work_queue import EmbeddedQueue
from broker.free_space import Floor, FreeSpace
from broker.ports import (
    Batches,
    Blobs,
    DeadLetters,
    Events,
    Files,
    Limits,
    Members,
    NoReplies,
    Queue,
    Replies,
    Store,
    Submissions,
    Switches,
    Upkeep,
    Webhooks,
)

_log = structlog.get_logger("penstock.embedded")
BATCHES_KEPT_S = 30 * 86_400.0


def end_process(_sentence: str) -> None:
    """End at once: only a new process can read back what is really on the disk."""
    os._exit(os.EX_IOERR)


class EmbeddedEngine:
    """Fills `Engine`. `on_broken` is called once when the file can no longer be written."""

    name = "embedded"

    def __init__(
        self,
        data_dir: str | Path,
        retention_s: float,
        *,
        batches_kept_s: float = BATCHES_KEPT_S,
        clock: Callable[[], float] = time.time,
        floor: Floor | None = None,
        on_broken: Callable[[str], None] = end_process,
        vfs: str | None = None,
        blobs: Blobs | None = None,
    ) -> None:
        directory = Path(data_dir)
        self._life = Life(retention_s, clock)
        self._database = Database(directory, vfs, on_broken)
        self._queue = EmbeddedQueue(self._database, self._life, self._set_aside)
        space = FreeSpace(directory, floor or Floor())
        self._store = EmbeddedStore(self._database, self._life, space, self._queue.placed)
        self._starting = asyncio.Lock()
        self._started = False
        self.queue: Queue = self._queue
        self.store: Store = self._store
        self.upkeep: Upkeep = EmbeddedUpkeep(self._database, self._life, self._store, self._queue)
        self.dead_letters: DeadLetters = EmbeddedDeadLetters(self._database, self._life)
        self.limits: Limits = EmbeddedLimits(clock)
        self.events: Events = EmbeddedEvents(clock)
        self.members: Members = EmbeddedMembers(self._life)
        self.switches: Switches = EmbeddedSwitches(self._database)
        self.webhooks: Webhooks = EmbeddedWebhooks(self._database, self._life)
        self.blobs = blobs or DirectoryBlobs(default_directory(directory), floor)
        self.files: Files = EmbeddedFiles(self._database, self._life)
        self.batches: Batches = EmbeddedBatches(self._database, self._life, space, batches_kept_s)
        self.submissions: Submissions | None = None
        self.replies: Replies = NoReplies()

    @property
    def owner(self) -> str:
        """This life of the process."""
        return self._life.owner

    @owner.setter
    def owner(self, value: str) -> None:
        self._life.owner = value

    async def start(self) -> None:
        """Open the file; what an earlier life was running waits again.

        Raises ConfigError when the directory cannot be used, or is in use.
        """
        async with self._starting:
            if self._started:
                return
            epoch = await self._database.open()
            owner, now = f"embedded:{epoch}", self._life.clock()
            self._life.owner = owner
            try:
                found = await self._database.write(
                    lambda file: release_older_lives(file, owner, now)
                )
                await self._database.write(unbook_all)
                await self._database.write(free_all)
                await self.blobs.start()
                self._queue.start()
            except BaseException:
                await self.blobs.stop()
                await self._database.close()
                raise
            if found:
                _log.warning("runs of an earlier life wait again", requests=found)
            self._started = True

    async def stop(self) -> None:
        """Close everything; safe to call twice, or without `start`."""
        self._started = False
        await self._queue.stop()
        await self._database.close()
        self._store.waiters.wake_all()
        await self.blobs.stop()

    async def health(self) -> dict[str, str | None]:
        """Return each part's name with None when it is well, else a sentence."""
        return {"store": self._database.trouble, "blobs": await self.blobs.health()}

    async def _set_aside(self, copy: Key, why: str) -> None:
        await self._store.set_aside(copy, why)
