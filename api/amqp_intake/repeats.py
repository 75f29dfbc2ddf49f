"""A message that repeats another one: its client is answered too."""

from __future__ import annotations

import time

import structlog

from broker import large_bodies, replying
from broker.lifecycle import Tasks
from broker.persistence import persistently
from broker.ports import Engine
from broker.replying import Asker, asker_of
from schemas.record import Record

_WAIT_S = 30.0
_SLACK_S = 10.0
# Those that come while so many are followed find their result in the store.
_MOST = 1_000
_log = structlog.get_logger("penstock.amqp_intake")


class Repeats:
    """Answers those who repeat a request of which somebody else waits for the reply."""

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks
        self._followed = 0

    async def tell(self, asker: Asker, record: Record) -> None:
        """Answer with the result of an ended request; follow an open one.

        The client that waits for the reply already gets it from whoever ends the request.
        """
        if record.terminal:
            await self._reply(asker, record)
        elif asker != asker_of(record) and self._followed < _MOST:
            self._followed += 1
            self._tasks.spawn("follow a repeat", self._follow(asker, record))

    async def _follow(self, asker: Asker, record: Record) -> None:
        store = self._engine.store
        try:
            while time.time() < record.deadline + _SLACK_S:
                found = await persistently(lambda: store.wait(record.id, _WAIT_S), "wait")
                if found is not None and found.terminal:
                    await self._reply(asker, found)
                    return
        finally:
            self._followed -= 1

    async def _reply(self, asker: Asker, record: Record) -> None:
        whole = await large_bodies.inlined_at_last(self._engine, record)
        reply = replying.ended(asker, whole)
        await persistently(lambda: self._engine.replies.send(reply), "reply")
