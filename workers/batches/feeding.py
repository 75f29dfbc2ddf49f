"""The feeder: puts a batch's lines into the queues, as many at a time as its window lets.

One step is: records (`feed`) -> every message confirmed -> cursor (`fed`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from broker import large_bodies
from broker.blobs.lines import RawLine
from broker.persistence import persistently
from broker.ports import Engine
from broker.telemetry import BATCH_LINES_FED
from schemas.batches import Cursor
from schemas.envelope import Envelope
from schemas.large import LARGE_BYTES
from schemas.lifecycle import Status
from workers.batches.asked import BadLine, read_line
from workers.batches.held import HeldBatch
from workers.batches.pacing import FED_AT_ONCE, MIB, room
from workers.batches.progress import Progress
from workers.batches.rules import BatchRules
from workers.batches.source import InputGone, Source, envelope_of, unservable
from workers.settlement import ended

# What a step takes of an input, and after how much of it others have their turn.
_STEP_BYTES = MIB
_TURN_BYTES, _TURN_LINES = 128 * 1024, 32
_LOOK_S = 2.0
# A configuration reaches all processes within this time: before, a name may be new and not gone.
_GONE_AFTER_S = 30.0
_GONE_LOOK_S = 1.0


@dataclass(slots=True)
class Made:
    """A line as a request; one whose model is gone, as `gone` says, ends unpublished."""

    envelope: Envelope
    cursor: Cursor
    gone: str | None = None


class Feeder:
    """Feeds one batch under one hold."""

    def __init__(
        self, engine: Engine, held: HeldBatch, source: Source, progress: Progress, rules: BatchRules
    ) -> None:
        self._engine = engine
        self._held = held
        self._source = source
        self._progress = progress
        self._rules = rules
        self._gone_since: float | None = None

    async def run(self) -> None:
        """Feed until every line is fed. Raises InputGone, Fenced."""
        progress, total = self._progress, self._held.batch.total
        async with aclosing(self._source.lines(progress.fed)) as lines:
            ahead: RawLine | None = None
            while progress.fed.line < total:
                chunk, ahead = await self._take(lines, ahead, await self._room())
                if chunk:
                    await self._feed(chunk)
                elif ahead is None:
                    raise InputGone

    async def again(self, lost: Sequence[int]) -> None:
        """Feed lines that have lost their records once more. Raises InputGone, Fenced."""
        wanted = set(lost)
        await self._rules.refresh(self._held.batch.terms.tenant)
        async with aclosing(self._source.lines(Cursor())) as lines:
            async for line in lines:
                if line.cursor_before.line in wanted:
                    wanted.discard(line.cursor_before.line)
                    await self._start([self._made(line)])
                elif line.number % FED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if not wanted:
                    return

    async def _room(self) -> int:
        """Wait until lines may be fed, and return how many."""
        held, progress = self._held, self._progress
        while True:
            if held.batch.paused:
                await held.until(lambda batch: not batch.paused)
            if progress.unconfirmed:
                # They have their room; without their messages they would fill it for good.
                return min(progress.unconfirmed, FED_AT_ONCE)
            progress.moved.clear()
            own = await self._rules.share(held.batch.terms.tenant)
            free = room(own, self._rules.window, progress.unended, progress.ungathered)
            if free:
                return free
            try:
                async with asyncio.timeout(_LOOK_S):
                    await progress.moved.wait()
            except TimeoutError:
                continue

    async def _take(
        self, lines: AsyncGenerator[RawLine], ahead: RawLine | None, most: int
    ) -> tuple[list[Made], RawLine | None]:
        """Return the next lines, and the one behind them where it has to wait."""
        chunk: list[Made] = []
        size = turn = 0
        await self._rules.refresh(self._held.batch.terms.tenant)
        while len(chunk) < most and size < _STEP_BYTES:
            line = ahead or await anext(lines, None)
            if line is None:
                break
            made = self._made(line)
            if made.gone and not await self._is_gone(bool(chunk)):
                return chunk, line
            if ahead is not None and not made.gone:
                # It was only away.
                self._gone_since = None
            ahead = None
            chunk.append(made)
            size += len(line.data or b"")
            if size - turn > _TURN_BYTES or len(chunk) % _TURN_LINES == 0:
                turn = size
                await asyncio.sleep(0)
        return chunk, ahead

    def _made(self, line: RawLine) -> Made:
        terms, number, now = self._held.batch.terms, line.cursor_before.line, time.time()
        try:
            if line.data is None:
                raise InputGone
            asked = read_line(line.data, terms, self._rules.opens(terms.tenant))
        except BadLine as error:
            envelope = unservable(terms, number, line.data, now)
            return Made(envelope, line.cursor_after, error.mistake.message)
        lane = self._progress.next_lane(asked.model)
        return Made(envelope_of(terms, number, asked, lane, now), line.cursor_after)

    async def _is_gone(self, others_wait: bool) -> bool:
        """Tell whether a model has been away for long enough to be gone; wait a while if not."""
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
        if now - self._gone_since >= _GONE_AFTER_S:
            return True
        if not others_wait:
            await asyncio.sleep(_GONE_LOOK_S)
        return False

    async def _feed(self, chunk: Sequence[Made]) -> None:
        cursor = chunk[-1].cursor
        await self._start(chunk)
        await self._held.fed(cursor)
        self._progress.fed = cursor

    async def _start(self, chunk: Sequence[Made]) -> None:
        """Set large bodies aside, make the records, then have every message confirmed."""
        held = self._held
        for each in chunk:
            if len(each.envelope.body) > LARGE_BYTES:
                each.envelope = await self._set_aside(each.envelope)
        while (flags := await held.feed([each.envelope for each in chunk])) is None:
            # Paused, or no longer ours to feed: then this run is ended.
            await held.until(lambda batch: not batch.paused)
        self._progress.made = max(self._progress.made, chunk[-1].cursor.line)
        new = [each for each, wanted in zip(chunk, flags, strict=True) if wanted]
        async with asyncio.TaskGroup() as group:
            for each in new:
                group.create_task(self._end(each) if each.gone else self._publish(each))
        BATCH_LINES_FED.inc(len(new))

    async def _set_aside(self, envelope: Envelope) -> Envelope:
        kept_s = self._rules.config.server.retention_s
        return await persistently(
            lambda: large_bodies.set_aside(self._engine, envelope, kept_s), "store a large line"
        )

    async def _publish(self, made: Made) -> None:
        await persistently(lambda: self._engine.queue.publish(made.envelope), "publish a line")

    async def _end(self, made: Made) -> None:
        result, store = ended(Status.FAILED, "model_removed", made.gone), self._engine.store
        await persistently(
            lambda: store.finish(made.envelope, result, 0), "end a line without a model"
        )
