"""Taking in a batch of messages: its requests become the lines of a file, the file a batch.

Both are noted only once all of it was read and found right: nothing stays of one that is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from api.anthropic.reading import InputLines
from api.auth import Caller
from api.batches.creating import Creating
from api.catalog import Catalog
from api.exchange import Exchange
from api.files.noting import Noting
from api.preferences import idempotency_key
from api.settings import Settings
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.batch_wire import BATCH_PURPOSE
from schemas.batches import Batch, BatchStatus, BatchTerms
from schemas.errors import EngineError, RequestError
from schemas.files import Part, StoredFile
from schemas.ids import message_batch_id, new_file_id
from schemas.message_batches import ENDPOINT, MAX_REQUESTS

# What Anthropic takes.
MAX_BYTES = 256 * 1024 * 1024
WINDOW_S = 86_400


@dataclass(frozen=True, slots=True)
class _Stored:
    """The lines of one batch, in a blob; `digest` is their SHA-256."""

    part: Part
    count: int
    digest: bytes


class MessageBatches:
    """The batches of messages that come in by one process."""

    def __init__(
        self,
        engine: Engine,
        creating: Creating,
        noting: Noting,
        catalog: Catalog,
        settings: Settings,
        tasks: Tasks,
    ) -> None:
        self._engine = engine
        self._creating = creating
        self._noting = noting
        self._catalog = catalog
        self._settings = settings
        self._tasks = tasks

    async def take(self, exchange: Exchange) -> tuple[Batch, bool]:
        """Return the batch that is asked for, and whether it had been created before.

        Raises RequestError, ClientGone and EngineError; then nothing of it is kept.
        """
        caller, file_id = exchange.caller, new_file_id()
        batch_id = self._creating.new_id(caller.tenant, idempotency_key(exchange))
        stored = await self._store(exchange, f"files/{file_id}")
        batch = self._batch(batch_id, file_id, caller, stored.count)
        create = self._create(batch, stored.part)
        if await self._tasks.finish("create a batch of messages", create):
            return batch, False
        return await self._same(batch_id, stored.digest), True

    async def _store(self, exchange: Exchange, key: str) -> _Stored:
        caller, digest = exchange.caller, hashlib.sha256()
        room = await self._noting.room(caller.tenant)
        config = self._settings.config
        lines = InputLines(
            min(MAX_REQUESTS, config.batches.max_lines),
            config.server.max_body_bytes,
            lambda model: self._check_model(model, caller),
        )

        async def pieces() -> AsyncIterator[bytes]:
            size = 0
            async for piece in lines.of(exchange.json_pieces(MAX_BYTES)):
                size += len(piece)
                room.check(size)
                digest.update(piece)
                yield piece

        size = await self._engine.blobs.put(key, pieces())
        return _Stored(Part(key, size), lines.count, digest.digest())

    def _check_model(self, asked: str, caller: Caller) -> None:
        self._catalog.check_accepting(self._catalog.find(asked, caller))

    def _batch(self, batch_id: str, file_id: str, caller: Caller, total: int) -> Batch:
        now = time.time()
        terms = BatchTerms(
            id=batch_id,
            tenant=caller.tenant,
            key_id=caller.key_id,
            endpoint=ENDPOINT,
            input_file_id=file_id,
            completion_window="24h",
            created_at=now,
            deadline=now + WINDOW_S,
            dialect="anthropic",
            # Every request of such a batch has a result.
            include_cancelled=True,
            output_kept_s=self._settings.config.files.retention_s,
        )
        return Batch(terms, times={BatchStatus.VALIDATING: now}, total=total)

    async def _create(self, batch: Batch, part: Part) -> bool:
        """Note the file and the batch; False if the batch exists, and the file is none then."""
        terms = batch.terms
        file = StoredFile(
            id=terms.input_file_id,
            tenant=terms.tenant,
            purpose=BATCH_PURPOSE,
            filename=f"{message_batch_id(batch.id)}.jsonl",
            bytes=part.bytes,
            created_at=terms.created_at,
            expires_at=terms.deadline + terms.output_kept_s,
        )
        await self._noting.note(file, part)
        try:
            created = await self._engine.batches.create(batch)
        except EngineError:
            # Whether it was created is not known, and nobody is told its id.
            self._tasks.spawn("take a batch of messages back", self._take_back(batch))
            raise
        if not created:
            await self._noting.forget(file.id)
        return created

    async def _take_back(self, batch: Batch) -> None:
        await self._engine.batches.cancel(batch.id, time.time())
        await self._noting.forget(batch.terms.input_file_id)

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
        for part in await self._engine.files.parts(batch.terms.input_file_id):
            async for piece in self._engine.blobs.read(part.key):
                earlier.update(piece)
        if earlier.digest() != digest:
            raise RequestError("idempotency_conflict")
        return batch
