"""The first reading of a batch's file: the batch begins if every line is good, else it has failed.

It is read even if the deadline has passed: the lines are known then, and are written as expired.
A crash before the end leaves it validating, and whoever comes next reads the file anew. All
mistakes are one part of the error file, added in one step: where there is such a file, it is whole.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from broker.persistence import persistently
from broker.ports import Engine, Gathered, Validated
from broker.telemetry import BATCH_PARTS
from schemas.batches import BatchStatus, BatchUsage, Counts, LineError
from schemas.files import Part
from workers.batches.gathering import PartStore
from workers.batches.held import HeldBatch
from workers.batches.rules import BatchRules
from workers.batches.validating import Validation, validate
from workers.batches.writing import mistake_line

_GONE = LineError(
    "input_file_missing",
    "The input file is gone; upload it again, and create a new batch with it.",
)
_PIECE_BYTES = 64 * 1024
_LOOK_S = 1.0


class Checking:
    """Reads the file of one batch under one hold."""

    def __init__(self, engine: Engine, held: HeldBatch, rules: BatchRules) -> None:
        self._engine = engine
        self._held = held
        self._rules = rules

    async def run(self) -> None:
        """Bring the batch out of `validating`. Raises Fenced."""
        files, file_id = self._engine.files, self._held.batch.terms.input_file_id
        if await persistently(lambda: files.get(file_id), "look for an input") is None:
            await self._held.move(BatchStatus.FAILED, (_GONE,))
            return
        if not await self._models_known():
            await self._held.move(BatchStatus.EXPIRED)
            return
        scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="penstock-batch-"))
        try:
            found = await persistently(lambda: self._validate(scratch), "read a batch's input")
            if found.mistakes_count:
                await self._fail(found)
            else:
                await self._held.validated(Validated(found.total, found.model))
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _models_known(self) -> bool:
        """Wait until anything is served: before, every name would be refused for good.

        False where that is not before the deadline.
        """
        terms = self._held.batch.terms
        await self._rules.refresh(terms.tenant)
        while not self._rules.opened(terms.tenant).known:
            if time.time() >= terms.deadline:
                return False
            await asyncio.sleep(_LOOK_S)
            await self._rules.refresh(terms.tenant)
        return True

    async def _validate(self, scratch: Path) -> Validation:
        terms, config = self._held.batch.terms, self._rules.config
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=scratch))
        return await validate(
            self._engine.blobs,
            await self._engine.files.parts(terms.input_file_id),
            terms,
            self._rules.opened(terms.tenant),
            max_lines=config.batches.max_lines,
            max_bytes=config.server.max_body_bytes,
            scratch=folder,
        )

    async def _fail(self, found: Validation) -> None:
        held = self._held
        if not held.batch.has_errors:
            key = PartStore(self._engine.blobs, held).next_key("errors")
            size = await persistently(
                lambda: self._engine.blobs.put(key, self._text(found)),
                "store its mistakes",
            )
            part = Part(key, size)
            await held.gathered(Gathered((), Counts(), BatchUsage(), 0.0, errors=part))
            BATCH_PARTS.labels("errors").inc()
        more = found.mistakes_count - len(found.first)
        errors = found.first if more <= 0 else (*found.first, _and_more(more))
        await held.move(BatchStatus.FAILED, errors)

    async def _text(self, found: Validation) -> AsyncIterator[bytes]:
        piece = bytearray()
        async for mistake in found.all_mistakes():
            piece += mistake_line(self._held.batch, mistake)
            if len(piece) >= _PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)


def _and_more(more: int) -> LineError:
    return LineError("more_mistakes", f"{more} more mistakes are in the error file.")
