"""Who runs the batches: each process takes what nobody has, one owned task per batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from broker.lifecycle import Tasks, backoff
from broker.ports import Engine, Held
from broker.ports.batches import HOLD_S
from broker.telemetry import BATCHES_RUNNING
from schemas.config import Config
from schemas.errors import EngineError
from workers.batches.held import Fenced, HeldBatch
from workers.batches.rules import BatchRules
from workers.batches.running import BatchRun

_log = structlog.get_logger("penstock.batches")
_LOOK_EVERY_S = 1.0
# Most batches that one finds are in the hands of others.
_ASKED_A_SECOND = 200
_LET_GO_S = 2.0


class Runners:
    """The batches that this process runs."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._rules = BatchRules(engine, config)
        self._tasks = Tasks("batches")
        self._taken: set[str] = set()
        self._held: dict[str, HeldBatch] = {}
        # When each that another process had was last asked for.
        self._asked_at: dict[str, float] = {}
        self._changed = asyncio.Event()
        engine.batches.on_changed(self._hear)

    def start(self) -> None:
        """Begin to look for batches."""
        self._tasks.supervise("look", self._look)

    def apply(self, config: Config) -> None:
        """Take a new configuration."""
        self._rules.apply(config)

    async def stop(self) -> None:
        """End every run where it is, and let go of its batch: another process goes on at once."""
        await self._tasks.stop()

    def _hear(self) -> None:
        self._changed.set()
        for held in self._held.values():
            held.nudge()

    async def _look(self) -> None:
        """Take what nobody has, until cancelled."""
        while True:
            self._changed.clear()
            try:
                for batch_id in self._due(await self._engine.batches.unfinished()):
                    self._taken.add(batch_id)
                    self._tasks.spawn(batch_id, self._serve(batch_id))
            except EngineError as error:
                _log.warning("no batch is looked for while the engine is away", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._changed.wait()

    def _due(self, unfinished: Sequence[str]) -> list[str]:
        """Return those to ask for now: a new one at once, one that another process has, at times.

        Any tenant can bring about as many changes as it likes.
        """
        others = [each for each in unfinished if each not in self._taken]
        now = time.monotonic()
        again_from = now - max(_LOOK_EVERY_S, len(others) / _ASKED_A_SECOND)
        due = [each for each in others if self._asked_at.get(each, again_from) <= again_from]
        self._asked_at = {each: self._asked_at.get(each, now) for each in others}
        self._asked_at.update(dict.fromkeys(due, now))
        return due

    async def _serve(self, batch_id: str) -> None:
        """Carry a batch on, hold by hold, until it wants nobody or another process has it."""
        pauses = backoff(0.1, 10.0)
        try:
            while (found := await self._engine.batches.hold(batch_id)) is not None:
                well = await self._carry(found)
                if well and found.batch.terminal:
                    return
                if well:
                    pauses = backoff(0.1, 10.0)
                else:
                    await asyncio.sleep(next(pauses))
        except EngineError as error:
            _log.warning("a batch cannot be held", batch=batch_id, error=str(error))
        finally:
            self._taken.discard(batch_id)

    async def _carry(self, found: Held) -> bool:
        """Carry it on under one hold; tell whether that went well. Raises EngineError."""
        held = self._held[found.batch.id] = HeldBatch(self._engine.batches, found)
        self._count()
        well = False
        try:
            await BatchRun(self._engine, held, self._rules).carry()
            well = True
        except* Fenced:
            _log.info("a hold is lost, or its batch has gone on", batch=held.id)
        except* Exception:  # noqa: BLE001  because a bug in one must not stop the others
            _log.exception("the run of a batch has failed", batch=held.id)
        finally:
            del self._held[held.id]
            self._count()
            let_go = await self._let_go(held)
        if not let_go:
            # Its token must not be used again: what was asked under it may still be carried out.
            await asyncio.sleep(HOLD_S)
        return well

    async def _let_go(self, held: HeldBatch) -> bool:
        try:
            async with asyncio.timeout(_LET_GO_S):
                await held.let_go()
        except (EngineError, TimeoutError) as error:
            _log.warning("a hold is left to lapse", batch=held.id, error=str(error))
            return False
        return True

    def _count(self) -> None:
        self._rules.runs = len(self._held)
        BATCHES_RUNNING.set(len(self._held))
