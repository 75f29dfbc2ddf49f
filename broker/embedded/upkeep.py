"""The keeper's port over the SQLite file; there is one process, so every lease is its own."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from broker.embedded import endings, outbox, runs, sweeping
from broker.embedded.database import Database
from broker.embedded.life import Life
from broker.embedded.rows import Placed, record_of, row_from
from broker.embedded.store import EmbeddedStore
from broker.embedded.work_queue import EmbeddedQueue
from broker.ports import DeadLetter, OutboxEntry, OutboxReader
from schemas.envelope import Envelope
from schemas.record import Record
from schemas.result import Result

FOREIGN_KEPT = 1_000


class EmbeddedUpkeep:
    """Fills `Upkeep`."""

    def __init__(
        self, database: Database, life: Life, store: EmbeddedStore, queue: EmbeddedQueue
    ) -> None:
        self._database = database
        self._life = life
        self._store = store
        self._queue = queue

    async def hold(self, partition: int) -> bool:  # noqa: ARG002  because the port names it
        """Always ours: one process holds the data directory."""
        return True

    async def due(self, partition: int, limit: int) -> list[Record]:
        """Return open records whose next check has come, most overdue first."""
        return await self._database.read(_due, partition, limit, self._life.clock())

    async def check_again(self, request_id: str, at: float) -> None:
        """Set the next check of an open record."""
        await self._database.write(lambda file: _look_again(file, request_id, at))

    async def unpublished(
        self,
        request_id: str,  # noqa: ARG002  because the port names it
    ) -> Envelope | None:
        """None: the row is the message, so it is published as soon as it is there."""
        return None

    async def release(self, request_id: str, dead_owner: str) -> bool:
        """Move `in_progress` of `dead_owner` back to `queued`, poison + 1."""
        now = self._life.clock()
        placed = await self._database.write(
            lambda file: runs.release(file, request_id, dead_owner, now),
            after=self._tell_placed,
        )
        return placed is not None

    def _tell_placed(self, placed: Placed | None) -> None:
        if placed is not None:
            self._queue.placed(placed)

    async def end(self, record: Record, result: Result) -> bool:
        """End an open record, if it is still as it was seen."""
        retention_s = self._life.retention_s
        return await self._database.write(
            lambda file: endings.end(file, record, result, retention_s),
            after=lambda ended: self._store.tell_end(record if ended else None),
        )

    async def outbox(
        self, partition: int, limit: int, reader: OutboxReader = "settler"
    ) -> list[tuple[str, OutboxEntry]]:
        """Return the entries that the reader has not done, oldest first."""
        return await self._database.read(outbox.read, partition, limit, reader)

    async def outbox_done(
        self, partition: int, cursor: str, reader: OutboxReader = "settler"
    ) -> None:
        """Move the reader's cursor."""
        await self._database.write(lambda file: outbox.move(file, partition, int(cursor), reader))

    def on_outbox(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with the partition of an end that no worker sees to."""
        self._store.on_left(tell)

    async def file_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a foreign message; the newest 1,000 stay."""
        now = self._life.clock()
        await self._database.write(lambda file: _file(file, letter, now))

    async def sweep(self) -> None:
        """Delete what is past its retention, in small steps."""
        now = self._life.clock()
        while await self._database.write(lambda file: sweeping.sweep(file, now)):
            pass


def _due(file: apsw.Connection, partition: int, limit: int, now: float) -> list[Record]:
    query = (
        "SELECT * FROM requests WHERE partition = ? AND next_check <= ? ORDER BY next_check LIMIT ?"
    )
    return [record_of(row_from(values)) for values in file.execute(query, (partition, now, limit))]


def _look_again(file: apsw.Connection, request_id: str, at: float) -> None:
    file.execute(
        "UPDATE requests SET next_check = ? WHERE id = ? AND next_check IS NOT NULL",
        (at, request_id),
    )


def _file(file: apsw.Connection, letter: DeadLetter, now: float) -> None:
    file.execute(
        "INSERT INTO foreign_messages (filed_at, reason, body) VALUES (?, ?, ?)",
        (now, letter.reason, letter.body),
    )
    file.execute(
        "DELETE FROM foreign_messages WHERE seq <= (SELECT max(seq) FROM foreign_messages) - ?",
        (FOREIGN_KEPT,),
    )
