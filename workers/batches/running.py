"""One batch, as far as it goes under one hold.

What is durable, and where a crash may come between (PROTOCOL 7). Whoever takes the batch next has
a newer token, so nothing of the crashed run is taken any more, and begins from these alone: the
status, the cursor, the lines' records, the list of ends, the counts with the files.

- Validating, before the end: `validating`; the file is read anew. An error file that is there is
  whole.
- After `validated`, before the first `feed`: `in_progress`, cursor 0; fed from there.
- After `feed`, before all are published: more lines made than the cursor says; fed again from the
  cursor, and `feed` flags those that nobody has claimed.
- After the publishing, before `fed`: the same, and some run or have ended: those are not flagged. A
  second copy is harmless (PROTOCOL 3).
- After `fed`: the cursor is behind them; goes on from there.
- After `ends`, before its blobs are stored: the list of ends is as it was; read again.
- After a blob is stored, before `gathered`: a blob that no file names; read again, into others.
- After `gathered`: lines, counts, files and records have all changed; goes on with the next ones.
- When all is gathered, before `finalizing` or `completed`: the counts make up the total; moved on.
- Cancelling, or past the deadline: the steps of ending.py are in order; what was done finds nothing
  to do, the first that was not is done.
- After the last status, before the webhooks are noted, or after that and before `told`: ended and
  not `told`; noted under the same ids, by which they are known.

A line's end is listed once (its bit is set in the same step), and what `gathered` drops is in a
file from then on, or is never written: so each line is in the files once.

A rollback of the store takes back the last of these steps without the run's end: the next step, or
the next status, names a number of written lines that the store does not know, and the run ends.

A cancel, a pause, a passed deadline and a lost hold end the run in the middle, as a crash does:
the batch is let go of, and held anew under another token for what comes next.
"""

from __future__ import annotations

import asyncio
import math
import time

import structlog

from broker.lifecycle import drop
from broker.persistence import persistently
from broker.ports import Engine
from schemas.batches import BatchStatus
from workers.batches.checking import Checking
from workers.batches.ending import Ending
from workers.batches.feeding import Feeder
from workers.batches.gathering import Gatherer, PartStore
from workers.batches.held import HeldBatch
from workers.batches.progress import Progress
from workers.batches.rules import BatchRules
from workers.batches.source import InputGone, Source
from workers.batches.telling import tell_end

_log = structlog.get_logger("penstock.batches")
# So long nothing has ended: have lines lost their records?
STALLED_S = 60.0


class BatchRun:
    """Carries one batch on under one hold."""

    def __init__(self, engine: Engine, held: HeldBatch, rules: BatchRules) -> None:
        self._engine = engine
        self._held = held
        self._rules = rules
        self._parts = PartStore(engine.blobs, held)
        self._source = Source(engine.files, engine.blobs, held.batch.terms)
        self._input_gone = False

    @property
    def batch_id(self) -> str:
        """Which batch it is."""
        return self._held.id

    async def carry(self) -> None:
        """Do what its status asks for, until that is another one. Raises Fenced.

        It ends at the deadline too, and is begun anew then.
        """
        batch, now = self._held.batch, time.time()
        ends_in_time = batch.status is BatchStatus.IN_PROGRESS and now < batch.terms.deadline
        until = batch.terms.deadline if ends_in_time else math.inf
        working = asyncio.ensure_future(self._work(is_late=not ends_in_time))
        keeping = asyncio.ensure_future(self._held.keep(until))
        try:
            done, _ = await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await asyncio.gather(drop(working), drop(keeping))

    async def _work(self, *, is_late: bool) -> None:
        held = self._held
        match held.batch.status:
            case BatchStatus.VALIDATING:
                await self._validate()
            case BatchStatus.IN_PROGRESS if is_late:
                await self._ending().expire()
            case BatchStatus.IN_PROGRESS:
                await self._feed_and_gather()
            case BatchStatus.FINALIZING:
                await self._finalize()
            case BatchStatus.CANCELLING:
                await self._ending().cancel()
            case _:
                await tell_end(self._engine, held, self._rules.config.webhooks.retry_s)

    async def _validate(self) -> None:
        async with self._rules.validations:
            await Checking(self._engine, self._held, self._rules).run()

    async def _feed_and_gather(self) -> None:
        held = self._held
        progress = Progress(held.batch)
        feeder = Feeder(self._engine, held, self._source, progress, self._rules)
        gatherer = Gatherer(self._engine, held, progress, self._parts, self._rules)

        def is_over() -> bool:
            all_ended = feeding.done() and progress.ended >= held.batch.total
            return all_ended or self._input_gone

        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed(feeder))
            watching = group.create_task(self._watch(feeder, gatherer, progress))
            await gatherer.run(is_over)
            feeding.cancel()
            watching.cancel()
        if self._input_gone:
            # How far it has come by now.
            await held.until(lambda _batch: True)
            await self._ending().give_up()
            return
        await held.move(BatchStatus.FINALIZING)
        await gatherer.flush()
        await held.move(BatchStatus.COMPLETED)

    async def _feed(self, feeder: Feeder) -> None:
        try:
            await feeder.run()
        except InputGone:
            _log.error("its input is gone", batch=self._held.id)
            self._input_gone = True

    async def _watch(self, feeder: Feeder, gatherer: Gatherer, progress: Progress) -> None:
        """Feed again what has lost its record, where nothing has ended for long."""
        looked_at = time.monotonic()
        while True:
            left_s = max(looked_at, gatherer.ended_at) + STALLED_S - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
                continue
            looked_at = time.monotonic()
            if progress.unended:
                await self._feed_lost(feeder)

    async def _feed_lost(self, feeder: Feeder) -> None:
        batches, batch_id = self._engine.batches, self._held.id
        lost = await persistently(lambda: batches.lost(batch_id), "look for lost lines")
        if not lost:
            return
        _log.warning("lines have lost their records and are fed again", batch=batch_id, n=len(lost))
        try:
            await feeder.again(lost)
        except InputGone:
            self._input_gone = True

    async def _finalize(self) -> None:
        """Gather what is left of a batch whose lines have all ended."""
        progress = Progress(self._held.batch)
        gatherer = Gatherer(self._engine, self._held, progress, self._parts, self._rules)
        await gatherer.run(lambda: progress.ended >= self._held.batch.total)
        await gatherer.flush()
        await self._held.move(BatchStatus.COMPLETED)

    def _ending(self) -> Ending:
        return Ending(self._engine, self._held, self._source, self._parts, self._rules)
