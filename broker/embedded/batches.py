"""The port of batches over the SQLite file: each call is one operation of the writer or reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw

from broker.embedded import batch_lists, batch_rows, batch_steps, line_bits, line_ends
from broker.embedded.batch_lists import Listed
from broker.embedded.batch_steps import Entry
from broker.embedded.database import Database
from broker.embedded.feeding import feed
from broker.embedded.gathering import gathered
from broker.embedded.life import Life
from broker.free_space import FreeSpace
from broker.ports import EndedLine, Gathered, Held, Validated
from schemas.batches import BATCH_TERMINAL, Batch, BatchStatus, Cursor, Dialect, LineError
from schemas.envelope import Envelope


class EmbeddedBatches:
    """Fills `Batches`; `kept_s` is how long one can be read after its end."""

    def __init__(self, database: Database, life: Life, space: FreeSpace, kept_s: float) -> None:
        self._database = database
        self._life = life
        self._space = space
        self._kept_s = kept_s
        self._tells: list[Callable[[], None]] = []

    async def create(self, batch: Batch) -> bool:
        """Note a new batch; False if its id exists. Raises StorageFull like `Store.create`."""
        self._space.check()
        return await self._database.write(
            lambda file: batch_rows.insert(file, batch), after=self._tell_if
        )

    async def get(self, batch_id: str) -> Batch | None:
        """Return a batch."""
        return await self._database.read(batch_steps.read, batch_id, self._life.clock())

    async def select(
        self,
        tenant: str,
        after: str | None,
        limit: int,
        dialect: Dialect = "openai",
        *,
        newest_first: bool = True,
    ) -> list[Batch] | None:
        """Return a page of a tenant's batches of one dialect."""
        listed, now = Listed(tenant, dialect, newest_first), self._life.clock()
        return await self._database.read(batch_lists.page, listed, after, limit, now)

    async def running(self, tenant: str) -> list[Batch]:
        """Return a tenant's batches that have not ended."""
        return await self._database.read(batch_lists.running, tenant)

    async def cancel(self, batch_id: str, at: float) -> Batch | None:
        """Move a batch that has not ended to `cancelling`."""
        now = self._life.clock()
        return await self._database.write(
            lambda file: batch_steps.cancel(file, batch_id, at, now), after=self._tell_if
        )

    async def pause(self, batch_id: str, *, paused: bool) -> Batch | None:
        """Let the feeder rest, or go on."""
        now = self._life.clock()
        return await self._database.write(
            lambda file: batch_steps.pause(file, batch_id, paused, now), after=self._tell_if
        )

    async def remove(self, batch_id: str) -> bool:
        """Forget a batch that has ended."""
        now = self._life.clock()
        return await self._database.write(lambda file: batch_steps.remove(file, batch_id, now))

    async def unfinished(self) -> list[str]:
        """Return the batches that want a runner."""
        return await self._database.read(batch_lists.unfinished, self._life.clock())

    async def hold(self, batch_id: str) -> Held | None:
        """Take or renew the hold of this process, which is the only one."""
        owner, now = self._life.owner, self._life.clock()
        return await self._database.write(lambda file: batch_steps.hold(file, batch_id, owner, now))

    async def let_go(self, batch_id: str, token: int) -> None:
        """Give up a hold."""
        await self._database.write(lambda file: batch_steps.let_go(file, batch_id, token))

    async def validated(self, batch_id: str, token: int, found: Validated, at: float) -> bool:
        """Move from `validating` to `in_progress`."""
        return await self._database.write(
            lambda file: batch_steps.validated(file, batch_id, token, found, at)
        )

    async def move(
        self,
        batch_id: str,
        token: int,
        status: BatchStatus,
        at: float,
        errors: Sequence[LineError] = (),
        ended: int | None = None,
    ) -> bool:
        """Enter `status`."""
        expires_at = at + self._kept_s if status in BATCH_TERMINAL else None
        entry = Entry(status, at, errors, expires_at, ended)
        return await self._database.write(
            lambda file: batch_steps.move(file, batch_id, token, entry)
        )

    async def feed(
        self, batch_id: str, token: int, lines: Sequence[Envelope]
    ) -> Sequence[bool] | None:
        """Make the records of lines, with their envelopes: the rows are the messages."""
        self._space.check()
        now = self._life.clock()
        return await self._database.write(lambda file: feed(file, batch_id, token, lines, now))

    async def fed(self, batch_id: str, token: int, cursor: Cursor) -> bool:
        """Note how far lines are confirmed."""
        return await self._database.write(
            lambda file: batch_steps.fed(file, batch_id, token, cursor)
        )

    async def ends(
        self, batch_id: str, limit: int, max_bytes: int, skip: int = 0
    ) -> Sequence[EndedLine]:
        """Return lines that have ended and are not gathered."""
        return await self._database.read(line_ends.ends, batch_id, limit, max_bytes, skip)

    async def gathered(self, batch_id: str, token: int, step: Gathered) -> bool:
        """Add a step to the batch and its files."""
        now = self._life.clock()
        return await self._database.write(lambda file: gathered(file, batch_id, token, step, now))

    async def unended(self, batch_id: str) -> Sequence[int]:
        """Return the lines that were made and have not ended."""
        return await self._database.read(line_ends.unended, batch_id)

    async def lost(self, batch_id: str) -> Sequence[int]:  # noqa: ARG002  because the port names it
        """None: a row leaves the file only after its end, and the row is the message."""
        return ()

    async def failed_lines(self, batch_id: str) -> bytes:
        """Return which lines are in the error file."""
        return await self._database.read(_failed, batch_id)

    async def told(self, batch_id: str, token: int) -> None:
        """Note that the webhooks of its end are noted."""
        await self._database.write(lambda file: batch_steps.told(file, batch_id, token))

    def on_changed(self, tell: Callable[[], None]) -> None:
        """Call `tell` when a batch was created, cancelled or paused."""
        self._tells.append(tell)

    def _tell_if(self, changed: Batch | bool | None) -> None:
        if changed:
            for tell in self._tells:
                tell()


def _failed(file: apsw.Connection, batch_id: str) -> bytes:
    row = batch_rows.find(file, batch_id)
    return b"" if row is None else line_bits.read(file, row.seq, "failed")
