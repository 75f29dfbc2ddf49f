"""Dead letters over the SQLite file: ended requests with their envelope, foreign messages."""

from __future__ import annotations

import apsw

from broker.embedded.database import Database
from broker.embedded.life import Life
from broker.embedded.lists import DEAD_LETTERS, Lists
from broker.embedded.rows import find, find_with_result, record_of
from broker.ports import ForeignLetter, Selection
from schemas.codec import BadEnvelope, decode
from schemas.envelope import Envelope
from schemas.record import Record


class EmbeddedDeadLetters:
    """Fills `DeadLetters`."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._lists = Lists(database, life.clock, DEAD_LETTERS)

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return a page of dead letters."""
        return await self._lists.select(selection, after, limit)

    async def get(self, request_id: str) -> Record | None:
        """Return the record of a dead letter, also past its retention."""
        return await self._database.read(_record, request_id)

    async def envelope(self, request_id: str) -> Envelope | None:
        """Return the kept envelope; None if there is none, or none that can be read."""
        return await self._database.read(_envelope, request_id)

    async def redriven(self, request_id: str, as_id: str) -> bool:
        """Note the request it was sent again as."""
        return await self._database.write(lambda file: _note_redriven(file, request_id, as_id))

    async def purge(self, request_id: str) -> bool:
        """Drop the envelope; the record stays as it is told."""
        return await self._database.write(lambda file: _purge(file, request_id))

    async def foreign(self, limit: int) -> list[ForeignLetter]:
        """Return the newest foreign messages, newest first."""
        return await self._database.read(_foreign, limit)

    async def purge_foreign(self) -> int:
        """Drop every foreign message; return how many there were."""
        return await self._database.write(_purge_foreign)


def _record(file: apsw.Connection, request_id: str) -> Record | None:
    found = find_with_result(file, request_id)
    if found is None or not found[0].dead:
        return None
    return record_of(*found)


def _envelope(file: apsw.Connection, request_id: str) -> Envelope | None:
    data: bytes | None = file.execute(
        "SELECT e.data FROM requests q JOIN envelopes e ON e.seq = q.seq"
        " WHERE q.id = ? AND q.dead = 1",
        (request_id,),
    ).get
    try:
        return None if data is None else decode(data)
    except BadEnvelope:
        return None


def _note_redriven(file: apsw.Connection, request_id: str, as_id: str) -> bool:
    row = find(file, request_id)
    if row is None or row.redriven_as is not None:
        return row is not None and row.redriven_as == as_id
    if row.dead:
        file.execute("UPDATE requests SET redriven_as = ? WHERE seq = ?", (as_id, row.seq))
    return bool(row.dead)


def _purge(file: apsw.Connection, request_id: str) -> bool:
    row = find(file, request_id)
    if row is None or not row.dead:
        return False
    file.execute("UPDATE requests SET dead = 0 WHERE seq = ?", (row.seq,))
    file.execute("DELETE FROM envelopes WHERE seq = ?", (row.seq,))
    return True


def _foreign(file: apsw.Connection, limit: int) -> list[ForeignLetter]:
    query = "SELECT reason, body, filed_at FROM foreign_messages ORDER BY seq DESC LIMIT ?"
    return [ForeignLetter(*values) for values in file.execute(query, (limit,))]


def _purge_foreign(file: apsw.Connection) -> int:
    file.execute("DELETE FROM foreign_messages")
    return file.changes()
