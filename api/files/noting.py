"""How a file is noted once its bytes are stored, and forgotten with them; how large one may be."""

from __future__ import annotations

import structlog

from api.files.incoming import Room
from api.settings import Settings
from broker.lifecycle import Tasks
from broker.ports import Engine, FileSelection
from schemas.errors import EngineError
from schemas.files import Part, StoredFile

_log = structlog.get_logger("penstock.files")
_PAGE = 1_000


class Taken(Exception):
    """Another file of the same id was noted first."""


class Noting:
    """What doors do with files, whatever is in them."""

    def __init__(self, engine: Engine, settings: Settings, tasks: Tasks) -> None:
        self._engine = engine
        self._settings = settings
        self._tasks = tasks

    async def note(self, file: StoredFile, part: Part) -> None:
        """Note a file, to the end once it has begun. Raises Taken and EngineError.

        Nothing is kept then, nor its blob.
        """
        await self._tasks.finish("note a file", self._note(file, part))

    async def forget(self, file_id: str) -> None:
        """Forget a file and its blobs; what cannot be deleted is logged, and costs only room."""
        try:
            parts = await self._engine.files.delete(file_id)
            await self._engine.blobs.delete([part.key for part in parts])
        except EngineError as error:
            _log.warning("a file or its blobs stay", file=file_id, error=str(error))

    async def room(self, tenant: str) -> Room:
        """Return how large the tenant's next file may be.

        Those that come at the same time do not see each other: each may take what is left.
        """
        files = self._settings.config.files
        room = Room(files.max_bytes, "file_too_large")
        if files.max_tenant_bytes is None:
            return room
        left = max(0, files.max_tenant_bytes - await self._used(tenant))
        return room if left >= room.bytes else Room(left, "tenant_files_full")

    async def _note(self, file: StoredFile, part: Part) -> None:
        try:
            if await self._engine.files.create(file, [part]):
                return
        except EngineError:
            # Whether it was noted is not known, and nobody is told its id.
            self._tasks.spawn("forget a file", self._undo(file.id, part))
            raise
        await self._engine.blobs.delete([part.key])
        raise Taken

    async def _undo(self, file_id: str, part: Part) -> None:
        await self.forget(file_id)
        try:
            await self._engine.blobs.delete([part.key])
        except EngineError as error:
            _log.warning("a blob without a file stays", key=part.key, error=str(error))

    async def _used(self, tenant: str) -> int:
        selection, used, after = FileSelection(tenant), 0, None
        while page := await self._engine.files.select(selection, after, _PAGE):
            used += sum(file.bytes for file in page)
            after = page[-1].id
        return used
