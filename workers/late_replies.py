"""The outbox's reader of replies: ends that no worker had a delivery of are told as well."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from broker.lifecycle import Tasks
from broker.ports import Engine, OutboxEntry
from workers.answering import Answering
from workers.outbox import Outbox


class LateReplies:
    """Replies to cancels and to the keeper's ends, in the partitions this process holds."""

    def __init__(self, engine: Engine, answering: Answering) -> None:
        self._answering = answering
        self._asked_by_amqp = engine.submissions is not None
        self._outbox = Outbox(engine, "replies", self._see_to)
        self._tasks = Tasks("late replies")

    def start(self) -> None:
        """Begin to read, where anybody can ask by AMQP."""
        if self._asked_by_amqp:
            self._tasks.supervise("outbox", self._outbox.run)

    async def stop(self) -> None:
        """End; what is not passed yet is read by the next process."""
        await self._tasks.stop()

    async def _see_to(self, entries: Sequence[OutboxEntry]) -> None:
        # All at once: a queue that confirms nothing must not hold up the others.
        telling = (self._answering.from_outbox(entry.request_id) for entry in entries)
        for outcome in await asyncio.gather(*telling, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
