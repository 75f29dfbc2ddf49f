"""Walking the outbox for one of its readers: no end goes unseen, whoever made it (PROTOCOL 7)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from broker.ports import Engine, OutboxEntry, OutboxReader
from schemas.errors import EngineError
from schemas.ids import PARTITIONS

_log = structlog.get_logger("penstock.outbox")
_BATCH = 200

Act = Callable[[Sequence[OutboxEntry]], Awaitable[None]]


class OutboxRounds:
    """Walks the partitions that this process holds, every `round_s`; in a hurry, at once.

    An entry is passed only when `act` has returned for it; what that does may be repeated.
    """

    def __init__(self, engine: Engine, reader: OutboxReader, act: Act, round_s: float) -> None:
        self._engine = engine
        self._reader = reader
        self._act = act
        self._round_s = round_s
        self._hurried: set[int] = set()
        self._wake = asyncio.Event()
        engine.upkeep.on_outbox(self._hurry)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            for partition in range(PARTITIONS):
                await self._read(partition)
            await self._rest()

    async def round(self, partition: int) -> None:
        """Act on what has ended in a partition, if its lease is ours."""
        upkeep = self._engine.upkeep
        while await upkeep.hold(partition):
            entries = await upkeep.outbox(partition, _BATCH, self._reader)
            if not entries:
                return
            await self._act([entry for _, entry in entries])
            await upkeep.outbox_done(partition, entries[-1][0], self._reader)

    async def _rest(self) -> None:
        """Wait for the next round, and meanwhile read the partitions that are in a hurry."""
        ends_at = time.monotonic() + self._round_s
        while (left_s := ends_at - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()
            while self._hurried:
                await self._read(self._hurried.pop())

    def _hurry(self, partition: int) -> None:
        self._hurried.add(partition)
        self._wake.set()

    async def _read(self, partition: int) -> None:
        try:
            await self.round(partition)
        except EngineError as error:
            _log.warning(
                "partition is away", reader=self._reader, partition=partition, error=str(error)
            )
