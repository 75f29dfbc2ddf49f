"""The failed lines of a batch once more: they are copied out of its file into a new batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from api.batches.creating import Creating
from api.files.storing import Storing
from api.settings import Settings
from broker.blobs.lines import UnreadableFile, lines_of
from broker.ports import Engine
from schemas.batch_wire import BATCH_PURPOSE
from schemas.batches import Batch, BatchTerms, Cursor
from schemas.completion_window import window_s
from schemas.errors import BlobMissing, RequestError
from schemas.files import Part, StoredFile
from schemas.ids import new_file_id

# After so many lines others have their turn.
_LINES_AT_ONCE = 500
_GONE = "The input file of this batch is gone; submit its lines anew."


class Retrying:
    """Makes a new batch of what has failed in one that has ended."""

    def __init__(
        self, engine: Engine, creating: Creating, storing: Storing, settings: Settings
    ) -> None:
        self._engine = engine
        self._creating = creating
        self._storing = storing
        self._settings = settings

    async def again(self, batch: Batch, key: str | None) -> tuple[Batch, bool]:
        """Return the new batch, and whether an earlier call with this Idempotency-Key has made it.

        Raises RequestError: `batch_not_ended`, `nothing_failed`, `file_not_found`,
        `idempotency_conflict`.
        """
        if not batch.terminal:
            raise RequestError("batch_not_ended", f"The batch is {batch.status.value}.")
        batch_id = self._creating.new_id(batch.terms.tenant, key)
        if key is not None and (found := await self._engine.batches.get(batch_id)) is not None:
            if found.terms.retry_of != batch.id:
                raise RequestError("idempotency_conflict")
            return found, True
        failed = await self._engine.batches.failed_lines(batch.id)
        if not any(failed):
            raise RequestError("nothing_failed")
        now = time.time()
        terms = replace(
            batch.terms,
            id=batch_id,
            created_at=now,
            deadline=now + window_s(batch.terms.completion_window),
            retry_of=batch.id,
        )
        file = await self._copied(terms, batch, failed)
        made, replayed = await self._creating.create(replace(terms, input_file_id=file.id))
        if replayed:
            await self._storing.drop(file.id)
        return made, replayed

    async def _copied(self, terms: BatchTerms, batch: Batch, failed: bytes) -> StoredFile:
        parts = await self._engine.files.parts(batch.terms.input_file_id)
        if not parts:
            raise RequestError("file_not_found", _GONE)
        file_id = new_file_id()
        kept_until = terms.created_at + self._settings.config.files.retention_s

        def described(size: int) -> StoredFile:
            return StoredFile(
                file_id,
                terms.tenant,
                BATCH_PURPOSE,
                f"{batch.id}_retry.jsonl",
                size,
                terms.created_at,
                expires_at=max(kept_until, terms.deadline),
            )

        try:
            lines = self._failed_lines(parts, failed)
            return await self._storing.store(f"files/{file_id}", lines, described)
        except (BlobMissing, UnreadableFile):
            raise RequestError("file_not_found", _GONE) from None

    async def _failed_lines(self, parts: Sequence[Part], failed: bytes) -> AsyncIterator[bytes]:
        size = sum(part.bytes for part in parts)
        lines = lines_of(self._engine.blobs, parts, Cursor(), max_bytes=size)
        async with aclosing(lines):
            async for line in lines:
                number = line.cursor_before.line
                if line.data is not None and _is_set(failed, number):
                    yield line.data + b"\n"
                if number % _LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)


def _is_set(bits: bytes, number: int) -> bool:
    """Tell a bit; bit 0 is the highest of byte 0."""
    place, bit = divmod(number, 8)
    return place < len(bits) and bool(bits[place] & (0x80 >> bit))
