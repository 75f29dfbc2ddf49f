"""Keeping a file: first its bytes, then what is known of it; neither stays without the other."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

import structlog

from broker.blobs.dropping import drop_file
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.errors import EngineError
from schemas.files import Part, StoredFile

_log = structlog.get_logger("penstock.files")


class IdTaken(Exception):
    """There is a file of this id, or there was one."""


class Storing:
    """The files that one process stores."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks = Tasks("files")

    async def store(
        self, place: str, pieces: AsyncIterable[bytes], described: Callable[[int], StoredFile]
    ) -> StoredFile:
        """Store `pieces` in a blob at `place`, and note the file that they are.

        `described` returns it, given its size, once they have all come. Raises IdTaken, EngineError
        and what they raise; then nothing is stored.
        """
        size = await self._engine.blobs.put(place, pieces)
        file = described(size)
        await self._tasks.finish("note a file", self._note(file, Part(place, size)))
        return file

    async def stop(self) -> None:
        """Wait for what has begun; what comes later is done as well, for as long as it can be."""
        await self._tasks.join()

    async def _note(self, file: StoredFile, part: Part) -> None:
        try:
            if await self._engine.files.create(file, [part]):
                return
        except EngineError:
            # Whether it was noted is not known, and nobody is told its id.
            self._tasks.spawn("forget a file", self._forget(file.id, part))
            raise
        await self._engine.blobs.delete([part.key])
        raise IdTaken

    async def drop(self, file_id: str) -> None:
        """Forget a file with its bytes, also if whoever asks for it is cancelled."""
        dropping = drop_file(self._engine.files, self._engine.blobs, file_id)
        await self._tasks.finish("drop a file", dropping)

    async def _forget(self, file_id: str, part: Part) -> None:
        try:
            await self._engine.files.delete(file_id)
            await self._engine.blobs.delete([part.key])
        except EngineError as error:
            _log.warning("a blob without a file stays", key=part.key, error=str(error))
