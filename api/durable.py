"""Making requests durable: a record, then a confirmed message, or neither (PROTOCOL 1).

Where a part fails in between, the request is taken back, so that what a client was told has failed
does not run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from broker import large_bodies
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.envelope import Envelope
from schemas.errors import EngineError, StorageFull

_log = structlog.get_logger("penstock.admission")
# The keeper publishes an unpublished record after 15 s: give up taking back before it does.
_TAKE_BACK_S = 12.0
_TAKE_BACK_PAUSE_S = 0.5
_SHOWN = 3


class Durable:
    """The steps that follow admission; what is not awaited goes on as tasks of `tasks`."""

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    async def make(self, envelope: Envelope) -> bool:
        """Return False if the id exists, with nothing changed. Raises EngineError."""
        try:
            if not await self._engine.store.create(envelope):
                return False
        except EngineError as error:
            self._not_created(envelope, error)
            raise
        try:
            await self._engine.queue.publish(envelope)
        except EngineError as error:
            await self._refuse_unless_taken(envelope, error)
        noting = self._engine.store.mark_published(envelope.id, envelope.generation)
        self._tasks.spawn("mark published", self._noted([envelope], noting))
        return True

    async def make_all(self, envelopes: Sequence[Envelope]) -> Sequence[bool | EngineError]:
        """Return for each what `make` would return or raise; each fails for itself."""
        told = list(await self._engine.store.create_all(envelopes))
        for envelope, outcome in zip(envelopes, told, strict=True):
            if isinstance(outcome, EngineError):
                self._not_created(envelope, outcome)
        made = [place for place, outcome in enumerate(told) if outcome is True]
        errors = await self._engine.queue.publish_all([envelopes[place] for place in made])
        failed = [(place, error) for place, error in zip(made, errors, strict=True) if error]
        refusals = await asyncio.gather(
            *(self._taken_back(envelopes[place], error) for place, error in failed)
        )
        for (place, _), refused in zip(failed, refusals, strict=True):
            told[place] = refused or True
        accepted = [envelopes[place] for place in made if told[place] is True]
        noting = self._engine.store.mark_all_published(accepted)
        self._tasks.spawn("mark published", self._noted(accepted, noting))
        return told

    async def publish_again(self, request_id: str) -> None:
        """Publish a record whose message nobody has seen confirmed."""
        envelope = await self._engine.upkeep.unpublished(request_id)
        if envelope is None:
            return
        await self._engine.queue.publish(envelope)
        # Noted before anyone is told: from here on the first submission cannot take it back.
        await self._engine.store.mark_published(envelope.id, envelope.generation)

    def _not_created(self, envelope: Envelope, error: EngineError) -> None:
        if isinstance(error, StorageFull):
            # Nothing was made, and the room that is left belongs to what runs.
            self._tasks.spawn("drop body", large_bodies.drop_body(self._engine, envelope))
        else:
            # Whether the record exists is unknown; without a message it must not run later.
            self._tasks.spawn("take back", self._take_back_later(envelope))

    async def _refuse_unless_taken(self, envelope: Envelope, error: EngineError) -> None:
        refused = await self._taken_back(envelope, error)
        if refused is not None:
            raise refused

    async def _taken_back(self, envelope: Envelope, error: EngineError) -> EngineError | None:
        """Take the request back and return why; None if a worker has it already: it is accepted."""
        try:
            taken_back = await self._engine.store.take_back(envelope)
        except EngineError:
            self._tasks.spawn("take back", self._take_back_later(envelope))
            return error
        if not taken_back:
            return None
        # Whoever is refused need not wait for a place of blobs that hangs.
        self._tasks.spawn("drop body", large_bodies.drop_body(self._engine, envelope))
        return error

    async def _take_back_later(self, envelope: Envelope) -> None:
        gives_up_at = time.monotonic() + _TAKE_BACK_S
        while time.monotonic() < gives_up_at:
            await asyncio.sleep(_TAKE_BACK_PAUSE_S)
            try:
                taken_back = await self._engine.store.take_back(envelope)
            except EngineError:
                continue
            if taken_back:
                await large_bodies.drop_body(self._engine, envelope)
            return
        _log.warning("could not be taken back; the keeper may run it", request=envelope.id)

    async def _noted(
        self, envelopes: Sequence[Envelope], noting: Coroutine[Any, Any, None]
    ) -> None:
        try:
            await noting
        except EngineError as error:
            some = [each.id for each in envelopes[:_SHOWN]]
            _log.info("the keeper will see to it", requests=some, error=str(error))
