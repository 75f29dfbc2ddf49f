"""A batch in the hands of this process: what is written of it goes under one token, or not at all.

Every step is repeated until the engine answers. A step that changes nothing, for a newer hold was
given, the batch has gone on, or a rollback has taken back what this run has written, raises Fenced:
its run ends there, and whoever holds the batch next begins from what is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from broker.persistence import persistently
from broker.ports import Batches, Gathered, Held, Validated
from broker.ports.batches import HOLD_S
from schemas.batches import Batch, BatchStatus, Cursor, LineError
from schemas.envelope import Envelope
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.batches")
RENEW_S = 2.0
_RENEW_AGAIN_S = 0.3
# However often others tell of changes.
_LEAST_PAUSE_S = 0.1


class Fenced(Exception):
    """What this run writes is no longer taken."""


class HeldBatch:
    """One hold on one batch; `batch` is as it was when the hold was last renewed."""

    def __init__(self, batches: Batches, held: Held) -> None:
        self._batches = batches
        self.batch: Batch = held.batch
        self.token = held.token
        # As this run knows it: an engine that knows another number has lost some of its steps.
        self._ended = held.batch.counts.ended
        self._heard_at = asyncio.get_running_loop().time()
        self._nudged = asyncio.Event()
        self._renewed = asyncio.Event()

    @property
    def id(self) -> str:
        """The batch's id."""
        return self.batch.id

    def nudge(self) -> None:
        """Look at the batch soon: it may have changed."""
        self._nudged.set()

    async def until(self, holds: Callable[[Batch], bool]) -> None:
        """Look at the batch until it is so, at least once."""
        self.nudge()
        while True:
            self._renewed.clear()
            await self._renewed.wait()
            if holds(self.batch):
                return

    async def keep(self, until: float) -> None:
        """Renew the hold until the batch enters another status, or until an instant (Unix s).

        Raises Fenced once the hold is lost, or may be.
        """
        status = self.batch.status
        pause_s = RENEW_S
        while self.batch.status is status and (left_s := until - time.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, left_s)):
                    await self._nudged.wait()
            self._nudged.clear()
            pause_s = await self._renew()
            await asyncio.sleep(_LEAST_PAUSE_S)

    async def _renew(self) -> float:
        """Renew it once, and return the seconds until the next time."""
        asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(self._heard_at + HOLD_S):
                held = await self._batches.hold(self.id)
        except TimeoutError:
            raise Fenced from None
        except EngineError as error:
            _log.warning("a hold cannot be renewed", batch=self.id, error=str(error))
            return _RENEW_AGAIN_S
        if held is None or held.token != self.token:
            raise Fenced
        self.batch, self._heard_at = held.batch, asked_at
        self._renewed.set()
        return RENEW_S

    async def told(self) -> None:
        """Note that the webhooks of its end are noted."""
        await persistently(lambda: self._batches.told(self.id, self.token), "note a batch as told")

    async def let_go(self) -> None:
        """Give the hold up. Raises EngineError: then it lapses by itself."""
        await self._batches.let_go(self.id, self.token)

    async def feed(self, lines: Sequence[Envelope]) -> Sequence[bool] | None:
        """As `Batches.feed`."""
        return await persistently(
            lambda: self._batches.feed(self.id, self.token, lines), "feed a batch"
        )

    async def fed(self, cursor: Cursor) -> None:
        """Note how far lines are confirmed by the queue."""
        _taken(
            await persistently(
                lambda: self._batches.fed(self.id, self.token, cursor),
                "note how far it is fed",
            )
        )

    async def gathered(self, step: Gathered) -> None:
        """Add a step to the batch and its files; repeated, it is still done once."""
        following = replace(step, after=self._ended)
        _taken(
            await persistently(
                lambda: self._batches.gathered(self.id, self.token, following),
                "gather a batch's lines",
            )
        )
        self._ended += step.counts.ended

    async def validated(self, found: Validated) -> None:
        """Move to `in_progress`."""
        at = time.time()
        _taken(
            await persistently(
                lambda: self._batches.validated(self.id, self.token, found, at), "begin a batch"
            )
        )

    async def move(self, status: BatchStatus, errors: Sequence[LineError] = ()) -> None:
        """Enter `status`."""
        at = time.time()
        _taken(
            await persistently(
                lambda: self._batches.move(
                    self.id, self.token, status, at, errors, ended=self._ended
                ),
                "move a batch",
            )
        )


def _taken(answer: bool) -> None:
    if not answer:
        raise Fenced
