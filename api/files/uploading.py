"""Taking a file in: its bytes go from the connection into a blob, piece by piece."""

from __future__ import annotations

import hashlib
import secrets
import time

from api.exchange import Exchange
from api.files.incoming import Incoming, Room
from api.files.storing import IdTaken, Storing
from api.files.turns import Turns
from api.origins import check_origin
from api.preferences import idempotency_key
from api.settings import Settings
from broker.blobs.stored import bytes_of
from broker.ports import Engine, FileSelection
from schemas.errors import RequestError
from schemas.files import StoredFile
from schemas.ids import derived_file_id, new_file_id

_PAGE = 1_000


class Uploads:
    """The uploads of one process."""

    def __init__(self, engine: Engine, settings: Settings, storing: Storing) -> None:
        self._engine = engine
        self._settings = settings
        self._storing = storing
        self._turns = Turns()

    async def take(self, exchange: Exchange) -> tuple[StoredFile, bool]:
        """Return the file that is uploaded, and whether it had been uploaded before.

        Raises RequestError, ClientGone and EngineError; then nothing is stored.
        """
        check_origin(exchange, self._settings)
        key, tenant = idempotency_key(exchange), exchange.caller.tenant
        upload = Incoming(exchange, await self.room(tenant), self._turns, hashed=key is not None)
        if key is None:
            file_id = new_file_id()
            return await self._store(upload, tenant, file_id, f"files/{file_id}"), False
        file_id = derived_file_id(self._settings.server.namespace, "file", tenant, key)
        if await self._engine.files.get(file_id) is None:
            # Two uploads under one key at a time must not write to the same place.
            place = f"files/{file_id}.{secrets.token_hex(8)}"
            try:
                return await self._store(upload, tenant, file_id, place), False
            except IdTaken:
                return await self._same(upload, file_id), True
        async for _ in upload.pieces():
            pass
        return await self._same(upload, file_id), True

    async def _store(self, upload: Incoming, tenant: str, file_id: str, place: str) -> StoredFile:
        def described(size: int) -> StoredFile:
            asked, now = upload.asked, time.time()
            kept_s = self._settings.config.files.retention_s
            ends_at = now + (kept_s if asked.kept_s is None else asked.kept_s)
            return StoredFile(
                file_id, tenant, asked.purpose, asked.filename, size, now, expires_at=ends_at
            )

        return await self._storing.store(place, upload.pieces(), described)

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
        parts = await self._engine.files.parts(file_id)
        async for piece in bytes_of(self._engine.blobs, parts):
            digest.update(piece)
        return digest.digest()

    async def room(self, tenant: str) -> Room:
        """Return how large the tenant's next file may be.

        Uploads at the same time do not see each other: each may take what is left.
        """
        files = self._settings.config.files
        room = Room(files.max_bytes, "file_too_large")
        if files.max_tenant_bytes is None:
            return room
        left = max(0, files.max_tenant_bytes - await self._used(tenant))
        return room if left >= room.bytes else Room(left, "tenant_files_full")

    async def _used(self, tenant: str) -> int:
        selection, used, after = FileSelection(tenant), 0, None
        while page := await self._engine.files.select(selection, after, _PAGE):
            used += sum(file.bytes for file in page)
            after = page[-1].id
        return used
