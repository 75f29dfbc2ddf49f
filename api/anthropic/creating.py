"""Taking in a batch of messages: its requests become the lines of a file, the file a batch.

Both are noted only once all of it was read and found right: nothing stays of one that is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

from api.anthropic.reading import InputLines
from api.auth import Caller
from api.batches.creating import Creating
from api.catalog import Catalog
from api.exchange import Exchange
from api.files.storing import Storing
from api.files.uploading import Uploads
from api.preferences import idempotency_key
from api.settings import Settings
from broker.blobs.stored import bytes_of
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.batch_wire import BATCH_PURPOSE
from schemas.batches import Batch, BatchStatus, BatchTerms
from schemas.errors import EngineError, RequestError
from schemas.files import StoredFile
from schemas.ids import message_batch_id, new_file_id
from schemas.message_batches import ENDPOINT, MAX_REQUESTS

# What Anthropic takes.
MAX_BYTES = 256 * 1024 * 1024
WINDOW_S = 86_400


class MessageBatches:
    """The batches of messages that come in by one process."""

    def __init__(
        self,
        engine: Engine,
        creating: Creating,
        uploads: Uploads,
        storing: Storing,
        catalog: Catalog,
        *,
        settings: Settings,
        tasks: Tasks,
    ) -> None:
        self._engine = engine
        self._creating = creating
        self._uploads = uploads
        self._storing = storing
        self._catalog = catalog
        self._settings = settings
        self._tasks = tasks

    async def take(self, exchange: Exchange) -> tuple[Batch, bool]:
        """Return the batch that is asked for, and whether it had been created before.

        Raises RequestError, ClientGone and EngineError; then nothing of it is kept.
        """
        caller = exchange.caller
        batch_id = self._creating.new_id(caller.tenant, idempotency_key(exchange))
        room = await self._uploads.room(caller.tenant)
        lines, digest = self._lines(caller), hashlib.sha256()

        async def pieces() -> AsyncIterator[bytes]:
            size = 0
            async for piece in lines.of(exchange.json_pieces(MAX_BYTES)):
                size += len(piece)
                room.check(size)
                digest.update(piece)
                yield piece

        file = await self._store(batch_id, caller.tenant, pieces())
        batch = self._batch(batch_id, caller, file, lines.count)
        create = self._create(batch)
        if await self._tasks.finish("create a batch of messages", create):
            return batch, False
        return await self._same(batch.id, digest.digest()), True

    def _lines(self, caller: Caller) -> InputLines:
        config = self._settings.config
        return InputLines(
            min(MAX_REQUESTS, config.batches.max_lines),
            config.server.max_body_bytes,
            lambda model: self._check_model(model, caller),
        )

    def _check_model(self, asked: str, caller: Caller) -> None:
        self._catalog.check_accepting(self._catalog.find(asked, caller))

    async def _store(self, batch_id: str, tenant: str, lines: AsyncIterator[bytes]) -> StoredFile:
        file_id, kept_s = new_file_id(), self._settings.config.files.retention_s

        def described(size: int) -> StoredFile:
            now = time.time()
            return StoredFile(
                id=file_id,
                tenant=tenant,
                purpose=BATCH_PURPOSE,
                filename=f"{message_batch_id(batch_id)}.jsonl",
                bytes=size,
                created_at=now,
                # The batch may need it until its end.
                expires_at=now + WINDOW_S + kept_s,
            )

        return await self._storing.store(f"files/{file_id}", lines, described)

    def _batch(self, batch_id: str, caller: Caller, file: StoredFile, total: int) -> Batch:
        terms = BatchTerms(
            id=batch_id,
            tenant=caller.tenant,
            key_id=caller.key_id,
            endpoint=ENDPOINT,
            input_file_id=file.id,
            completion_window="24h",
            created_at=file.created_at,
            deadline=file.created_at + WINDOW_S,
            dialect="anthropic",
            # Every request of such a batch has a result.
            include_cancelled=True,
            output_kept_s=self._settings.config.files.retention_s,
        )
        return Batch(terms, times={BatchStatus.VALIDATING: terms.created_at}, total=total)

    async def _create(self, batch: Batch) -> bool:
        """Note the batch; False if there is one of its id, and the file is dropped then."""
        try:
            created = await self._engine.batches.create(batch)
        except EngineError:
            # Whether it was created is not known, and nobody is told its id.
            self._tasks.spawn("take a batch of messages back", self._take_back(batch))
            raise
        if not created:
            await self._storing.drop(batch.terms.input_file_id)
        return created

    async def _take_back(self, batch: Batch) -> None:
        await self._engine.batches.cancel(batch.id, time.time())
        await self._storing.drop(batch.terms.input_file_id)

    async def _same(self, batch_id: str, digest: bytes) -> Batch:
        """Return the batch of this Idempotency-Key if it has the same requests.

        Raises RequestError `idempotency_conflict`.
        """
        batch = await self._engine.batches.get(batch_id)
        if batch is None:
            raise RequestError(
                "idempotency_conflict",
                "The batch of this Idempotency-Key is gone; use another key.",
            )
        earlier = hashlib.sha256()
        parts = await self._engine.files.parts(batch.terms.input_file_id)
        async for piece in bytes_of(self._engine.blobs, parts):
            earlier.update(piece)
        if earlier.digest() != digest:
            raise RequestError("idempotency_conflict")
        return batch
