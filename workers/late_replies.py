"""The outbox's reader of replies: ends that no worker had a delivery of are told as well."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from broker.lifecycle import Tasks
from broker.ports import Engine, OutboxEntry
from workers.answering import Answering
from workers.outbox import OutboxRounds

# Whoever ends a request hurries us; a word that was lost, or a lease that was taken, shows here.
_ROUND_S = 2.0


class LateReplies:
    """Replies to cancels and to the keeper's ends, in the partitions that this process holds."""

    def __init__(self, engine: Engine, answering: Answering) -> None:
        self._answering = answering
        self._asked_by_amqp = engine.submissions is not None
        self._rounds = OutboxRounds(engine, "replies", self._act, _ROUND_S)
        self._tasks = Tasks("late replies")

    def start(self) -> None:
        """Begin to read, where anybody can have asked by AMQP."""
        if self._asked_by_amqp:
            self._tasks.supervise("outbox", self._rounds.run)

    async def round(self, partition: int) -> None:
        """Tell what has ended in a partition, if its lease is ours.

        Raises EngineError if anything could not be told: it stays in the outbox.
        """
        await self._rounds.round(partition)

    async def stop(self) -> None:
        """End; what is not passed yet is read by another process."""
        await self._tasks.stop()

    async def _act(self, entries: Sequence[OutboxEntry]) -> None:
        # All at once, for a queue that confirms nothing must not hold up the others.
        wanted = (entry.request_id for entry in entries if entry.wants_reply)
        telling = (self._answering.from_outbox(request_id) for request_id in wanted)
        for outcome in await asyncio.gather(*telling, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
