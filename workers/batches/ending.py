"""The end of a batch that does not complete: cancelled, expired, or its input gone.

Nothing new starts. What was fed ends, is gathered, and then, where its owner wants to know of them,
the lines that were never fed are written as well. In that order, each step durable:

1. The cursor moves past all lines that were made: a feeder may have died before it noted that.
2. Every one of them that has not ended is ended; one without a record is ended from the input.
3. All of them are gathered.
4. The lines from the cursor on are written in parts, each with the cursor behind it.
5. The batch enters its last state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from broker.lifecycle import backoff
from broker.persistence import persistently
from broker.ports import Engine, Gathered
from broker.telemetry import BATCH_LINES_ENDED
from schemas.batches import BatchStatus, BatchUsage, Counts, Cursor, LineError
from schemas.envelope import Envelope
from schemas.ids import line_id
from schemas.lifecycle import Status
from workers.batches.gathering import Gatherer, PartStore
from workers.batches.held import HeldBatch
from workers.batches.pacing import FED_AT_ONCE
from workers.batches.progress import Progress
from workers.batches.rules import BatchRules
from workers.batches.source import GONE, InputGone, Source, custom_id_of, unservable
from workers.batches.writing import Unstarted, unstarted_line
from workers.settlement import ended

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AT_ONCE = 64
_TURN_BYTES = 128 * 1024
# What a worker runs ends by itself at its deadline.
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """How a batch ends: its last status, how its lines end, and what those are told as.

    `unstarted` is None where the lines that were never fed are not written.
    """

    last: BatchStatus
    line: Status
    code: str
    unstarted: Unstarted | None
    errors: tuple[LineError, ...] = ()


class Ending:
    """Ends one batch under one hold."""

    def __init__(
        self,
        engine: Engine,
        held: HeldBatch,
        source: Source,
        parts: PartStore,
        rules: BatchRules,
    ) -> None:
        self._engine = engine
        self._held = held
        self._source = source
        self._parts = parts
        self._rules = rules
        self._progress = Progress(held.batch)
        self._gatherer = Gatherer(engine, held, self._progress, parts, rules)

    async def cancel(self) -> None:
        """End a batch that is being cancelled. Raises Fenced."""
        written: Unstarted | None = None
        if self._held.batch.terms.include_cancelled:
            written = "batch_cancelled"
        way = Way(BatchStatus.CANCELLED, Status.CANCELLED, "cancelled", written)
        await self._run(way, self._cancel_line)

    async def expire(self) -> None:
        """End a batch whose deadline has passed. Raises Fenced."""
        await asyncio.sleep(self._held.batch.terms.deadline + _GRACE_S - time.time())
        way = Way(BatchStatus.EXPIRED, Status.EXPIRED, "expired", "batch_expired")
        await self._run(way, self._expire_line)

    async def give_up(self) -> None:
        """End a batch whose input is gone, once what was fed has ended. Raises Fenced."""
        way = Way(BatchStatus.FAILED, Status.FAILED, "copy_lost", None, (GONE,))
        await self._run(way, self._look_at_line)

    async def _run(self, way: Way, end: Callable[[str], Awaitable[bool]]) -> None:
        await self._settle_cursor()
        await self._end_fed(way, end)
        if way.unstarted is not None:
            try:
                await self._write_unstarted(way, way.unstarted)
            except InputGone:
                if way.last is BatchStatus.EXPIRED:
                    way = Way(BatchStatus.FAILED, way.line, way.code, None, (GONE,))
        await self._held.move(way.last, way.errors)

    async def _settle_cursor(self) -> None:
        """Move the cursor past the last line that was made."""
        if self._progress.made > self._progress.fed.line:
            cursor = await self._cursor_after(self._progress.made - 1)
            await self._held.fed(cursor)
            self._progress.fed = cursor

    async def _cursor_after(self, last: int) -> Cursor:
        try:
            async with aclosing(self._source.lines(self._progress.fed)) as lines:
                async for line in lines:
                    if line.cursor_before.line == last:
                        return line.cursor_after
        except InputGone:
            pass
        # Nobody can read it from there.
        fed = self._progress.fed
        return Cursor(last + 1, fed.offset, fed.physical)

    async def _end_fed(self, way: Way, end: Callable[[str], Awaitable[bool]]) -> None:
        batches, pauses = self._engine.batches, backoff(0.05, 1.0)
        while True:
            unended = await persistently(
                lambda: batches.unended(self._held.id), "look for lines that have not ended"
            )
            there = await _each(unended, lambda line: end(line_id(self._held.id, line)))
            lost = [line for line, found in zip(unended, there, strict=True) if not found]
            await self._end_lost(lost, way)
            await self._gatherer.drain()
            if not unended:
                return
            await asyncio.sleep(next(pauses))

    async def _end_lost(self, lost: Sequence[int], way: Way) -> None:
        """Commit the end of lines that have no record any more."""
        if not lost:
            return
        terms, wanted = self._held.batch.terms, set(lost)
        envelopes: list[Envelope] = []
        try:
            async with aclosing(self._source.lines(Cursor())) as lines:
                async for line in lines:
                    number = line.cursor_before.line
                    if number in wanted:
                        wanted.discard(number)
                        envelopes.append(unservable(terms, number, line.data, time.time()))
                    elif number % FED_AT_ONCE == 0:
                        await asyncio.sleep(0)
                    if not wanted:
                        break
        except InputGone:
            envelopes += [unservable(terms, number, None, time.time()) for number in wanted]
        await _each(envelopes, lambda envelope: self._commit(envelope, way))

    async def _commit(self, envelope: Envelope, way: Way) -> None:
        result = ended(way.line, way.code)
        await persistently(
            lambda: self._engine.store.finish(envelope, result, 0), "end a line without a record"
        )

    async def _write_unstarted(self, way: Way, code: Unstarted) -> None:
        """Write the lines from the cursor on. Raises InputGone."""
        batch, texts, failed, size = self._held.batch, list[bytes](), list[int](), 0
        cursor = self._progress.fed
        if cursor.line >= batch.total:
            return
        async with aclosing(self._source.lines(cursor)) as lines:
            async for line in lines:
                number, cursor = line.cursor_before.line, line.cursor_after
                custom_id = custom_id_of(line.data) or ""
                texts.append(unstarted_line(batch, number, custom_id, code))
                failed.append(number)
                size += len(texts[-1])
                if len(texts) % FED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if size >= self._rules.part_bytes or cursor.line == batch.total:
                    await self._gather_unstarted(texts, failed, cursor, way)
                    texts, failed, size = [], [], 0
                if cursor.line == batch.total:
                    return
        raise InputGone

    async def _gather_unstarted(
        self, texts: Sequence[bytes], failed: Sequence[int], cursor: Cursor, way: Way
    ) -> None:
        count = len(failed)
        cancelled = count if way.line is Status.CANCELLED else 0
        part = await self._parts.put("errors", texts)
        await self._held.gathered(
            Gathered(
                lines=(),
                counts=Counts(0, count, cancelled, count - cancelled),
                usage=BatchUsage(),
                rate=self._held.batch.rate,
                errors=part,
                failed=failed,
                fed=cursor,
            )
        )
        BATCH_LINES_ENDED.labels(way.line.value).inc(count)

    async def _look_at_line(self, request_id: str) -> bool:
        store = self._engine.store
        return await persistently(lambda: store.get(request_id), "look at a line") is not None

    async def _cancel_line(self, request_id: str) -> bool:
        store = self._engine.store
        return await persistently(lambda: store.cancel(request_id), "cancel a line") is not None

    async def _expire_line(self, request_id: str) -> bool:
        store, upkeep = self._engine.store, self._engine.upkeep
        record = await persistently(lambda: store.get(request_id), "look at a line")
        if record is None:
            return False
        if not record.terminal:
            result = ended(Status.EXPIRED, "expired")
            await persistently(lambda: upkeep.end(record, result), "end a line")
        return True


async def _each(items: Sequence[Item], ask: Callable[[Item], Awaitable[Answer]]) -> list[Answer]:
    """Ask for each, many at once, and return the answers in order."""
    waiting = iter(enumerate(items))
    answers: dict[int, Answer] = {}

    async def work() -> None:
        for place, item in waiting:
            answers[place] = await ask(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, len(items))):
            group.create_task(work())
    return [answers[place] for place in range(len(items))]
