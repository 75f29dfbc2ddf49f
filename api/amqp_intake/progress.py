"""Telling clients that asked for it how their requests move, while this process lives."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import structlog

from api.backlog import Backlog
from broker import replying
from broker.ports import Engine, Reply
from broker.replying import Asker
from schemas.errors import EngineError
from schemas.lifecycle import Status
from schemas.record import Record

_LOOK_S = 0.5
_TELL_S = 5.0
# More are only told that they were accepted.
_MOST = 10_000
_log = structlog.get_logger("penstock.amqp_intake")


@dataclass(slots=True)
class _Followed:
    asker: Asker
    record: Record
    position: int | None
    told_at: float


class Progress:
    """The requests that are followed here: one look at all of them, twice a second."""

    def __init__(self, engine: Engine, backlog: Backlog) -> None:
        self._engine = engine
        self._backlog = backlog
        self._followed: dict[str, _Followed] = {}

    async def accepted(self, asker: Asker, record: Record) -> None:
        """Tell that a request is durable, and follow it from now on."""
        expected = await self._backlog.outlook(record)
        if len(self._followed) < _MOST:
            now = time.monotonic()
            self._followed[record.id] = _Followed(asker, record, expected.position, now)
        await self._tell(replying.accepted(asker, record, expected.position, expected.eta_s))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._followed:
                try:
                    await self._look()
                except EngineError as error:
                    _log.info("progress is not known", error=str(error))

    async def _look(self) -> None:
        statuses = await self._engine.store.statuses(list(self._followed))
        for request_id, followed in list(self._followed.items()):
            status = statuses.get(request_id)
            if status is Status.QUEUED:
                await self._queued(followed)
                continue
            del self._followed[request_id]
            if status is Status.IN_PROGRESS:
                record = await self._engine.store.get(request_id)
                if record is not None and not record.terminal:
                    await self._tell(replying.progress(followed.asker, record, None, None))

    async def _queued(self, followed: _Followed) -> None:
        now = time.monotonic()
        if now - followed.told_at < _TELL_S:
            return
        expected = await self._backlog.outlook(followed.record)
        if expected.position == followed.position:
            return
        followed.position, followed.told_at = expected.position, now
        record = replace(followed.record, status=Status.QUEUED)
        await self._tell(
            replying.progress(followed.asker, record, expected.position, expected.eta_s)
        )

    async def _tell(self, reply: Reply) -> None:
        try:
            await self._engine.replies.send(reply)
        except EngineError as error:
            _log.info("progress is not told", error=str(error))
