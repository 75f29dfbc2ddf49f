"""Taking a file in: its bytes go from the connection into a blob, piece by piece.

It is noted only once they are stored, and nothing stays of an upload that is refused or broken off.
"""

from __future__ import annotations

import hashlib
import secrets
import time

from api.exchange import Exchange
from api.files.incoming import Incoming
from api.files.noting import Noting, Taken
from api.preferences import idempotency_key
from api.settings import Settings
from broker.ports import Engine
from schemas.errors import RequestError
from schemas.files import Part, StoredFile
from schemas.ids import derived_file_id, new_file_id


class Uploads:
    """The uploads of one process."""

    def __init__(self, engine: Engine, settings: Settings, noting: Noting) -> None:
        self._engine = engine
        self._settings = settings
        self._noting = noting

    async def take(self, exchange: Exchange) -> tuple[StoredFile, bool]:
        """Return the file that is uploaded, and whether it had been uploaded before.

        Raises RequestError, ClientGone and EngineError; then nothing is stored.
        """
        key, tenant = idempotency_key(exchange), exchange.caller.tenant
        upload = Incoming(exchange, await self._noting.room(tenant), hashed=key is not None)
        if key is None:
            file_id = new_file_id()
            return await self._store(upload, tenant, file_id, f"files/{file_id}"), False
        file_id = derived_file_id(self._settings.server.namespace, "file", tenant, key)
        if await self._engine.files.get(file_id) is None:
            # Two uploads under one key at a time must not write to the same place.
            place = f"files/{file_id}.{secrets.token_hex(8)}"
            try:
                return await self._store(upload, tenant, file_id, place), False
            except Taken:
                return await self._same(upload, file_id), True
        async for _ in upload.pieces():
            pass
        return await self._same(upload, file_id), True

    async def _store(self, upload: Incoming, tenant: str, file_id: str, place: str) -> StoredFile:
        """Store a file and note it. Raises Taken if its id exists."""
        size = await self._engine.blobs.put(place, upload.pieces())
        asked, now = upload.asked, time.time()
        kept_s = self._settings.config.files.retention_s if asked.kept_s is None else asked.kept_s
        file = StoredFile(
            file_id, tenant, asked.purpose, asked.filename, size, now, expires_at=now + kept_s
        )
        await self._noting.note(file, Part(place, size))
        return file

    async def _same(self, upload: Incoming, file_id: str) -> StoredFile:
        """Return the file of an earlier upload under the same key, if it is the same file.

        Raises RequestError `idempotency_conflict`.
        """
        found, asked = await self._engine.files.get(file_id), upload.asked
        if found is None:
            raise RequestError(
                "idempotency_conflict",
                "The file of this Idempotency-Key has expired; use another key.",
            )
        said = (asked.purpose, asked.filename, upload.size)
        if said != (found.purpose, found.filename, found.bytes):
            raise RequestError("idempotency_conflict")
        if await self._digest(file_id) != upload.digest:
            raise RequestError("idempotency_conflict")
        return found

    async def _digest(self, file_id: str) -> bytes:
        digest = hashlib.sha256()
        for part in await self._engine.files.parts(file_id):
            async for piece in self._engine.blobs.read(part.key):
                digest.update(piece)
        return digest.digest()
