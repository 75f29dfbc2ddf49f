"""The port of files over the SQLite file."""

from __future__ import annotations

from collections.abc import Sequence

from broker.embedded import file_rows
from broker.embedded.database import Database
from broker.embedded.life import Life
from broker.ports import FileSelection
from schemas.files import Part, StoredFile


class EmbeddedFiles:
    """Fills `Files`."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life

    async def create(self, file: StoredFile, parts: Sequence[Part]) -> bool:
        """Note a file; False if the id exists."""
        return await self._database.write(lambda rows: file_rows.create(rows, file, parts))

    async def get(self, file_id: str) -> StoredFile | None:
        """Return what is known of a file."""
        return await self._database.read(file_rows.find, file_id, self._life.clock())

    async def parts(self, file_id: str) -> Sequence[Part]:
        """Return its parts in order."""
        return await self._database.read(file_rows.parts, file_id, self._life.clock())

    async def select(
        self, selection: FileSelection, after: str | None, limit: int
    ) -> list[StoredFile] | None:
        """Return a page of files."""
        now = self._life.clock()
        return await self._database.read(file_rows.page, selection, after, limit, now)

    async def delete(self, file_id: str) -> Sequence[Part]:
        """Forget a file, and return the parts whose blobs are to go."""
        return await self._database.write(lambda rows: file_rows.delete(rows, file_id))

    async def expired(self, limit: int) -> list[str]:
        """Return the ids of files past their time."""
        return await self._database.read(file_rows.expired, limit, self._life.clock())
