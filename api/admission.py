"""Accepting a request: the record is made and its message confirmed before anyone is told (202).

PROTOCOL 1. A door that fails in between takes the request back, so that what a client was told has
failed does not run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

import structlog

from api.catalog import Catalog
from broker.lifecycle import Tasks
from broker.ports import Engine
from broker.telemetry import ACCEPTED
from schemas.body import Span
from schemas.envelope import Envelope, OnDisconnect
from schemas.errors import EngineError, RequestError
from schemas.ids import new_request_id
from schemas.priority import Priority

_log = structlog.get_logger("penstock.admission")
DEFAULT_TENANT = "default"
# The keeper publishes an unpublished record after 15 s: give up taking back before it does.
_TAKE_BACK_S = 12.0
_TAKE_BACK_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Intake:
    """A request as a door has understood it, checked in shape and not yet in the catalog.

    `path` and `sent` are what the client sent; `body` is what the backend gets.
    """

    path: str
    sent: bytes
    body: bytes
    model: str
    model_span: Span
    endpoint: str
    priority: Priority
    deadline: float
    not_before: float | None = None
    on_disconnect: OnDisconnect = "cancel"
    held: bool = False
    traceparent: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


class Admission:
    """The one way in, for every door of this process."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog
        self._tasks = Tasks("admission")
        self.draining = False

    async def accept(self, intake: Intake) -> Envelope:
        """Make the request durable and return its envelope.

        Raises RequestError when it is refused. A caller that is cancelled meanwhile does not
        stop what has begun.
        """
        if self.draining:
            raise RequestError("draining")
        self._catalog.check(intake.model)
        envelope = self._envelope(intake)
        await self._tasks.finish("accept", self._make_durable(envelope))
        ACCEPTED.labels(envelope.model, envelope.priority).inc()
        return envelope

    async def stop(self) -> None:
        """Wait for what has begun."""
        await self._tasks.join()

    def _envelope(self, intake: Intake) -> Envelope:
        return Envelope(
            id=new_request_id(),
            tenant=DEFAULT_TENANT,
            model=intake.model,
            endpoint=intake.endpoint,
            priority=intake.priority,
            accepted_at=time.time(),
            deadline=intake.deadline,
            not_before=intake.not_before,
            body=intake.body,
            body_hash=hashlib.sha256(intake.path.encode() + b"\n" + intake.sent).digest(),
            model_span=intake.model_span,
            on_disconnect=intake.on_disconnect,
            held_by=self._engine.owner if intake.held else None,
            traceparent=intake.traceparent,
            metadata=intake.metadata,
        )

    async def _make_durable(self, envelope: Envelope) -> None:
        try:
            await self._engine.store.create(envelope)
        except EngineError:
            # Whether the record exists is unknown; without a message it must not run later.
            self._tasks.spawn("take back", self._take_back_later(envelope))
            raise
        try:
            await self._engine.queue.publish(envelope)
        except EngineError as error:
            await self._refuse_unless_taken(envelope, error)
        self._tasks.spawn("mark published", self._mark_published(envelope))

    async def _refuse_unless_taken(self, envelope: Envelope, error: EngineError) -> None:
        """Take the request back and refuse it; if a worker has it already it is accepted."""
        try:
            taken_back = await self._engine.store.take_back(envelope)
        except EngineError:
            self._tasks.spawn("take back", self._take_back_later(envelope))
            raise error from None
        if taken_back:
            raise error

    async def _take_back_later(self, envelope: Envelope) -> None:
        gives_up_at = time.monotonic() + _TAKE_BACK_S
        while time.monotonic() < gives_up_at:
            await asyncio.sleep(_TAKE_BACK_PAUSE_S)
            try:
                await self._engine.store.take_back(envelope)
            except EngineError:
                continue
            return
        _log.warning("could not be taken back; the keeper may run it", request=envelope.id)

    async def _mark_published(self, envelope: Envelope) -> None:
        try:
            await self._engine.store.mark_published(envelope.id, envelope.generation)
        except EngineError as error:
            _log.info("the keeper will see to it", request=envelope.id, error=str(error))
