"""The reader of one stream: it follows the log, watches for the end, and says how it stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from api.backlog import Backlog
from api.holding import Holding, is_lost
from api.streams.cursor import NOTHING, Cursor, Interrupted
from api.streams.framing import Broken, Ended, Leaving, State, Step
from broker import large_bodies
from broker.ports import Chunk, Engine, Follower
from broker.scheduling.outlook import Outlook
from schemas.errors import DOOR_ERRORS, TERMINAL_CODES, EngineError, RequestError
from schemas.lifecycle import Status
from schemas.record import Record

_log = structlog.get_logger("penstock.streams")
# Nothing is as long silent: proxies and clients take that for a dead connection.
QUIET_S = 10.0
_LOOK_S = 1.0
_FOLLOW_S = 30.0
_AGAIN_S = 0.2


class Teller:
    """Tells streams of any request, also of those that other processes have accepted."""

    def __init__(self, engine: Engine, backlog: Backlog, holding: Holding) -> None:
        self._engine = engine
        self._backlog = backlog
        self._holding = holding

    @asynccontextmanager
    async def telling(
        self, record: Record, after: int = NOTHING, *, tells_states: bool = False
    ) -> AsyncIterator[Telling]:
        """Tell the stream of `record` from behind the event `after`, while the block lasts."""
        async with self._engine.events.follow(record.id) as follower:
            telling = Telling(
                self._engine,
                self._backlog,
                record,
                Cursor(after),
                follower,
                tells_states=tells_states,
            )
            telling.begin(self._holding)
            try:
                yield telling
            finally:
                telling.stop()


class Telling:
    """One reader's way through a stream, step by step."""

    def __init__(
        self,
        engine: Engine,
        backlog: Backlog,
        record: Record,
        cursor: Cursor,
        follower: Follower,
        *,
        tells_states: bool,
    ) -> None:
        self._engine = engine
        self._backlog = backlog
        self._cursor = cursor
        self._follower = follower
        self._tells_states = tells_states
        self.record = record
        # Nothing comes any more; `ended` if that is since the request has ended.
        self.over = self.ended = False
        self._shown = False
        self._told: tuple[Status, int | None] | None = None
        now = time.monotonic()
        self._quiet_until = now + QUIET_S
        self._look_at = now if tells_states else now + _LOOK_S

    @property
    def last(self) -> int:
        """The number of the last event that the reader has, -1 if none."""
        return self._cursor.number

    def begin(self, holding: Holding) -> None:
        """Begin to watch."""
        self._ending = asyncio.ensure_future(holding.ended(self.record))
        self._releasing = asyncio.ensure_future(holding.released())
        self._following = asyncio.ensure_future(self._follow())

    def stop(self) -> None:
        """Watch no more."""
        for task in (self._ending, self._releasing, self._following):
            task.cancel()

    async def news(self, timeout_s: float) -> list[Step]:
        """Return the next steps as soon as there are any, none after `timeout_s` or the last."""
        until = time.monotonic() + timeout_s
        while not self.over:
            if steps := await self._next():
                self._quiet_until = time.monotonic() + QUIET_S
                return steps
            now = time.monotonic()
            if now >= until:
                break
            await asyncio.wait(
                {self._ending, self._releasing, self._following},
                timeout=max(0.0, min(until, self._look_at) - now),
                return_when=asyncio.FIRST_COMPLETED,
            )
        return []

    async def _next(self) -> list[Step]:
        if self._tells_states and self._told is None and not self.record.terminal:
            return await self._look()
        if self._ending.done():
            return await self._outcome(self._ending)
        if self._following.done():
            return await self._show(self._following.result())
        if self._releasing.done():
            return await self._leave()
        if time.monotonic() >= self._look_at:
            return await self._look()
        return []

    async def _show(self, chunks: Sequence[Chunk]) -> list[Step]:
        before: list[Step] = []
        if chunks and self._tells_states and self.record.status is Status.QUEUED:
            before = await self._look()
        steps = self._take(chunks)
        self._following = asyncio.ensure_future(self._follow())
        return before + steps

    def _take(self, chunks: Sequence[Chunk]) -> list[Step]:
        steps: list[Step] = []
        try:
            steps.extend(chunk for chunk in chunks if self._cursor.take(chunk))
        except Interrupted:
            steps.append(self._interrupted())
        if steps:
            self._shown = True
            self._look_at = time.monotonic() + QUIET_S
        return steps

    async def _outcome(self, ending: asyncio.Future[Record]) -> list[Step]:
        try:
            record = ending.result()
        except RequestError as error:
            self.over = True
            return [Broken(error.code, error.message)]
        return await self._end(record)

    async def _leave(self) -> list[Step]:
        """Return the end if it has come: what ran was finished, perhaps not yet heard of."""
        record = None
        with suppress(EngineError):
            record = await self._engine.store.get(self.record.id)
        if record is not None and record.terminal:
            return await self._end(record)
        self.over = True
        return [Leaving()]

    async def _end(self, record: Record) -> list[Step]:
        """Return what is left in the log, about 1 MiB at a time, then what only the result has."""
        while chunks := await self._left():
            if steps := self._take(chunks):
                return steps
        self.over = self.ended = True
        try:
            record = await large_bodies.whole(self._engine, record)
            if is_lost(record):
                return [Broken("result_lost", DOOR_ERRORS["result_lost"].sentence)]
            rest = self._cursor.rest(record)
        except Interrupted:
            return [self._interrupted()]
        except EngineError as error:
            return [Broken("blobs_unavailable", str(error))]
        return [*self._take(rest), Ended(record)]

    async def _left(self) -> Sequence[Chunk]:
        try:
            return await self._engine.events.read(self.record.id, self.last)
        except EngineError as error:
            _log.info("tells the end from the result", request=self.record.id, error=str(error))
            return ()

    def _interrupted(self) -> Broken:
        self.over = True
        return Broken("stream_interrupted", TERMINAL_CODES["stream_interrupted"])

    async def _look(self) -> list[Step]:
        """Return how it stands if that has changed, or if nothing was told for long."""
        outlook, before = Outlook(), self._told
        try:
            if before is not None:
                self.record = await self._engine.store.get(self.record.id) or self.record
            outlook = await self._backlog.outlook(self.record)
        except EngineError as error:
            _log.info("how it stands is not known", request=self.record.id, error=str(error))
        now = time.monotonic()
        self._look_at = now + (QUIET_S if self._shown else _LOOK_S)
        told = (self.record.status, outlook.position)
        if self.record.terminal or (told == before and now < self._quiet_until):
            return []
        self._told = told
        changed = before is None or before[0] is not told[0]
        return [State(self.record, outlook, changed)]

    async def _follow(self) -> Sequence[Chunk]:
        while True:
            try:
                return await self._follower.after(self.last, _FOLLOW_S)
            except EngineError as error:
                _log.info("follows on while the log is away", error=str(error))
                await asyncio.sleep(_AGAIN_S)
