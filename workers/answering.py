"""The replies to those who asked by AMQP, from the process that ends or runs their request.

PROTOCOL 4: after the commit, before the ack. One is sent at least once, and nearly always once: the
record notes it, so that whoever meets the ended request later knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from broker import large_bodies, replying
from broker.lifecycle import Tasks
from broker.persistence import persistently
from broker.ports import Engine, Reply
from broker.replying import Asker, asker_of
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.lifecycle import Status
from schemas.record import Record, born
from schemas.request import MAX_INLINE_BODY_BYTES
from schemas.result import Result

_log = structlog.get_logger("penstock.answering")
_PATIENCE_S = 30.0
# What the keeper ends is nearly always told within that time.
_OUTBOX_S = 1.5
_BY_THE_KEEPER = ("expired", "copy_lost")


class Answering:
    """Replies for one worker process. Results are kept `retention_s`."""

    def __init__(self, engine: Engine, retention_s: float) -> None:
        self._engine = engine
        self._retention_s = retention_s
        self._tasks = Tasks("answering")
        self._replied: list[str] = []
        self._noting = False

    async def committed(
        self, envelope: Envelope, result: Result, attempt: int, started_at: float | None
    ) -> None:
        """Tell the end that this process has committed; given up after `_PATIENCE_S`."""
        asker = asker_of(envelope)
        if asker is None:
            return
        record = replace(
            born(envelope),
            status=result.status,
            attempt=attempt,
            started_at=started_at,
            finished_at=result.finished_at,
            expires_at=result.finished_at + self._retention_s,
            result=result,
        )
        await self._tell(asker, record)

    async def found_ended(self, envelope: Envelope) -> None:
        """Tell the end of a request that a delivery has found ended, unless somebody has.

        A cancelled one is told from the outbox. So is what the keeper has ended, which looks like
        an end that a worker has made: the outbox is given the time for it.
        """
        if envelope.reply_to is None:
            return
        record = await self._record(envelope.id)
        if record is not None and _perhaps_in_the_outbox(record):
            await asyncio.sleep(_OUTBOX_S)
            record = await self._record(envelope.id)
        if record is not None and record.status is not Status.CANCELLED:
            asker = _waiting(record)
            if asker is not None:
                await self._tell(asker, record)

    async def from_outbox(self, request_id: str) -> None:
        """Tell the end of a request that no delivery was in hand for, unless somebody has.

        Raises EngineError at once: no message comes back for it, so the outbox has to keep it.
        """
        record = await self._engine.store.get(request_id)
        asker = None if record is None else _waiting(record)
        if record is not None and asker is not None:
            whole = await large_bodies.whole(self._engine, record, MAX_INLINE_BODY_BYTES)
            await self._engine.replies.send(replying.ended(asker, whole))
            self._note_soon(request_id)

    def chunks(self, envelope: Envelope) -> ChunkReplies | None:
        """Return what tells the events of a streamed request; None if nobody waits for them."""
        asker = asker_of(envelope) if envelope.stream else None
        return None if asker is None else ChunkReplies(self._engine, asker, envelope.id)

    async def stop(self) -> None:
        """Note what was replied, and end."""
        await self._tasks.join()

    async def _record(self, request_id: str) -> Record | None:
        store = self._engine.store
        return await persistently(lambda: store.get(request_id), "look at the record")

    async def _tell(self, asker: Asker, record: Record) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                whole = await large_bodies.inlined_at_last(self._engine, record)
                reply = replying.ended(asker, whole)
                await persistently(lambda: self._engine.replies.send(reply), "reply")
        except TimeoutError:
            # Where RabbitMQ is away the message comes back, and is replied to then. Where it only
            # refuses us, a pool must not fill up with requests that have ended.
            _log.error("gives up a reply; the result is in the store", request=record.id)
            return
        self._note_soon(record.id)

    def _note_soon(self, request_id: str) -> None:
        """Not awaited, and many at once: a lost note only means that it may be sent once more."""
        self._replied.append(request_id)
        if not self._noting:
            self._noting = True
            self._tasks.spawn("note replies", self._note())

    async def _note(self) -> None:
        store = self._engine.store
        try:
            while self._replied:
                ids, self._replied = self._replied, []
                await asyncio.gather(*(store.mark_replied(each) for each in ids))
        except EngineError as error:
            _log.info("replies are not noted", error=str(error))
        finally:
            self._noting = False


def _waiting(record: Record) -> Asker | None:
    """Return who has not been told yet of the end that the record holds."""
    return asker_of(record) if record.terminal and not record.replied else None


def _perhaps_in_the_outbox(record: Record) -> bool:
    code = record.result.code if record.result is not None else None
    return code in _BY_THE_KEEPER and _waiting(record) is not None


class ChunkReplies:
    """The events of one streamed request as replies, in order; lost ones are in the result."""

    def __init__(self, engine: Engine, asker: Asker, request_id: str) -> None:
        self._engine = engine
        self._asker = asker
        self._request_id = request_id
        self._lost = False

    async def __call__(self, number: int, data: Sequence[bytes]) -> None:
        """Tell events, the first of them as `number`; none more once one could not be told."""
        if self._lost:
            return
        told = (
            replying.chunk(self._asker, self._request_id, at, each)
            for at, each in enumerate(data, number)
        )
        try:
            sent = await asyncio.gather(*(self._send(each) for each in told if each is not None))
        except EngineError as error:
            _log.info("chunks are not told", request=self._request_id, error=str(error))
            self._lost = True
        else:
            self._lost = not all(sent)

    async def _send(self, reply: Reply) -> bool:
        return await self._engine.replies.send(reply)
