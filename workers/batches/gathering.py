"""The gatherer: writes the ends of a batch's lines into its files.

One step is: lines read (`ends`) -> blobs stored -> the step itself (`gathered`), which adds the
blobs to the files and drops the lines' records.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from broker import large_bodies
from broker.persistence import persistently
from broker.ports import Blobs, EndedLine, Engine, Gathered
from broker.telemetry import BATCH_LINES_ENDED, BATCH_PARTS
from schemas.batches import Batch, BatchStatus, BatchUsage, Counts
from schemas.errors import DOOR_ERRORS
from schemas.files import Part
from schemas.ids import BatchFileKind, batch_file_id
from schemas.lifecycle import Status
from schemas.record import Record
from workers.batches import pacing
from workers.batches.held import HeldBatch
from workers.batches.progress import Progress
from workers.batches.rules import BatchRules
from workers.batches.writing import error_line, output_line, usage_of
from workers.settlement import ended

KINDS: tuple[BatchFileKind, ...] = ("output", "errors")
# So many lines are read at once; more would hold up others.
_READ_AT_ONCE = 100
_TURN_BYTES = 256 * 1024


@dataclass(slots=True)
class _Buffer:
    """What was read and not gathered yet; `began_at` is when its first line was."""

    began_at: float = 0.0
    lines: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    statuses: Counter[Status] = field(default_factory=Counter)
    texts: dict[BatchFileKind, list[bytes]] = field(
        default_factory=lambda: {"output": [], "errors": []}
    )
    bytes: int = 0
    usage: BatchUsage = field(default_factory=BatchUsage)

    def counts(self) -> Counts:
        """Return what the lines count for; those that are only dropped count for nothing."""
        return Counts(
            completed=self.statuses[Status.COMPLETED],
            failed=len(self.failed),
            cancelled=self.statuses[Status.CANCELLED],
            expired=self.statuses[Status.EXPIRED],
        )


class PartStore:
    """Stores the parts of one run's files, each under a name that is used once."""

    def __init__(self, blobs: Blobs, held: HeldBatch) -> None:
        self._blobs = blobs
        self._held = held
        # A rollback of the store can give a token twice.
        self._run = f"{held.token}-{secrets.token_hex(4)}"
        self._made = 0

    def next_key(self, kind: BatchFileKind) -> str:
        """Return the name of the next part."""
        self._made += 1
        return f"batches/{self._held.id}/{kind}/{self._run}-{self._made}"

    async def put(self, kind: BatchFileKind, texts: Sequence[bytes]) -> Part | None:
        """Store the next part; None where there is nothing to store."""
        if not texts:
            return None
        key = self.next_key(kind)
        data = b"".join(texts)
        await persistently(lambda: self._blobs.put(key, data), "store a part of a file")
        BATCH_PARTS.labels(kind).inc()
        return Part(key, len(data))


class Gatherer:
    """Gathers one batch under one hold."""

    def __init__(
        self,
        engine: Engine,
        held: HeldBatch,
        progress: Progress,
        parts: PartStore,
        rules: BatchRules,
    ) -> None:
        self._engine = engine
        self._held = held
        self._progress = progress
        self._rules = rules
        self._store = parts
        self._buffer = _Buffer()
        self._parts: int | None = None
        self._rate = held.batch.rate
        self._rated_at = self.ended_at = time.monotonic()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Gather until `is_over`; what was read then is left to `flush`. Raises Fenced."""
        pause_s = 0.0
        while True:
            found, full = await self._read()
            if is_over():
                return
            if await self._is_due():
                await self.flush()
            if not full:
                pause_s = pacing.next_pause(pause_s, found=found, runs=self._rules.runs)
                await asyncio.sleep(pause_s)

    async def drain(self) -> None:
        """Gather what has ended by now. Raises Fenced."""
        found = True
        while found:
            found, _ = await self._read()
            if not found or await self._is_due():
                await self.flush()

    async def flush(self) -> None:
        """Store what was read, and gather it. Raises Fenced."""
        buffer, self._buffer = self._buffer, _Buffer()
        if not buffer.lines:
            return
        now = time.monotonic()
        self._rate = pacing.next_rate(self._rate, len(buffer.lines), now - self._rated_at)
        self._rated_at = now
        output, errors = [await self._store.put(kind, buffer.texts[kind]) for kind in KINDS]
        await self._held.gathered(
            Gathered(
                lines=buffer.lines,
                counts=buffer.counts(),
                usage=buffer.usage,
                rate=self._rate,
                output=output,
                errors=errors,
                failed=buffer.failed,
            )
        )
        if self._parts is not None:
            self._parts += 1
        for status, lines in buffer.statuses.items():
            BATCH_LINES_ENDED.labels(status.value).inc(lines)
        self._progress.lines_gathered(len(buffer.lines))
        self._progress.moved.set()

    async def _is_due(self) -> bool:
        buffer = self._buffer
        if self._parts is None:
            self._parts = await self._count_parts()
        return pacing.is_due(
            len(buffer.lines),
            buffer.bytes,
            time.monotonic() - buffer.began_at,
            self._parts,
            self._rules.window,
            self._rules.part_bytes,
        )

    async def _count_parts(self) -> int:
        files, ids = self._engine.files, [batch_file_id(self._held.id, kind) for kind in KINDS]

        async def count() -> int:
            return sum([len(await files.parts(each)) for each in ids])

        return await persistently(count, "count the parts of a batch's files")

    async def _read(self) -> tuple[bool, bool]:
        """Read once; tell whether anything was found, and whether there may be more."""
        batches, most_bytes = self._engine.batches, self._rules.part_bytes
        seen = len(self._buffer.lines)
        found = await persistently(
            lambda: batches.ends(self._held.id, _READ_AT_ONCE, most_bytes, seen),
            "read the ends of a batch's lines",
        )
        size = turn = 0
        for each in found:
            size += self._take(replace(each, record=await self._whole(each.record)))
            if self._buffer.bytes >= most_bytes:
                # Large answers lie in blobs: there may be many times that in what was found.
                await self.flush()
            if size - turn > _TURN_BYTES:
                turn = size
                await asyncio.sleep(0)
        if found:
            self.ended_at = time.monotonic()
            self._progress.moved.set()
        return bool(found), len(found) >= _READ_AT_ONCE or size >= most_bytes

    async def _whole(self, record: Record) -> Record:
        """Return the record with its answer; one whose answer is gone has failed."""
        result = record.result
        if result is None or result.body_blob is None:
            return record
        fetched = await persistently(
            lambda: large_bodies.whole(self._engine, record), "fetch the result of a line"
        )
        if fetched.result is not None and fetched.result.body is not None:
            return fetched
        lost = ended(Status.FAILED, "result_lost", DOOR_ERRORS["result_lost"].sentence)
        return replace(record, status=Status.FAILED, result=lost)

    def _take(self, line: EndedLine) -> int:
        """Write a line into the buffer, and return how many bytes it has."""
        buffer, record, batch = self._buffer, line.record, self._held.batch
        if not buffer.lines:
            buffer.began_at = time.monotonic()
        buffer.lines.append(line.line)
        self._progress.line_ended(record.model)
        if batch.status is BatchStatus.CANCELLING and _is_dropped(batch, record):
            return 0
        body = record.result.body if record.result is not None else None
        kind: BatchFileKind
        if record.status is Status.COMPLETED:
            kind, text = "output", output_line(batch, line, body)
            buffer.usage += usage_of(record, body)
        else:
            kind, text = "errors", error_line(batch, line, body)
            buffer.failed.append(line.line)
        buffer.statuses[record.status] += 1
        buffer.texts[kind].append(text)
        buffer.bytes += len(text)
        return len(text)


def _is_dropped(batch: Batch, record: Record) -> bool:
    """Tell whether a line is not written: it was cancelled before anybody had claimed it."""
    never_started = record.status is Status.CANCELLED and record.attempt == 0
    return never_started and not batch.terms.include_cancelled
