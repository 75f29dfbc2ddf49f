"""Accepting a request: the record is made and its message confirmed before anyone is told (202).

PROTOCOL 1. A door that fails in between takes the request back, so that what a client was told has
failed does not run. A repeated submission meets the request it repeats.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from api.auth import Caller
from api.backlog import Backlog
from api.catalog import Catalog
from api.durable import Durable
from api.intake import Intake
from api.responses.preparing import Preparing
from broker import large_bodies
from broker.lifecycle import Tasks
from broker.ports import Engine
from broker.telemetry import ACCEPTED
from schemas.config import ServerConfig
from schemas.envelope import Envelope
from schemas.errors import BlobMissing, RequestError
from schemas.ids import derived_request_id, new_request_id
from schemas.lifecycle import Status
from schemas.record import Record, born

# No tenant has this name, so no key of one can make the id of a redrive.
_NO_TENANT = ""
_FORGOTTEN = "The request of this Idempotency-Key is past its retention; use another key."


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is durable; `replayed` if it was so before this submission."""

    record: Record
    replayed: bool = False


class Admission:
    """The one way in, for every door of this process; many at once go by api.bulk.accepting."""

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        backlog: Backlog,
        preparing: Preparing,
        server: ServerConfig,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._backlog = backlog
        self._namespace = server.namespace
        self._retention_s = server.retention_s
        self._preparing = preparing
        self._tasks = Tasks("admission")
        self.durable = Durable(engine, self._tasks)
        self.draining = False

    async def accept(self, intake: Intake, caller: Caller) -> Admitted:
        """Make the request durable, or find the one it repeats.

        Raises RequestError when it is refused. A caller that is cancelled meanwhile does not
        stop what has begun.
        """
        if self.draining:
            raise RequestError("draining")
        return await self.accept_begun(intake, caller)

    async def accept_begun(self, intake: Intake, caller: Caller) -> Admitted:
        """Do what `accept` does for one that had come before this server began to drain."""
        self._catalog.find(intake.model, caller)
        if intake.terms.key is not None:
            return await self._accept_once(intake, caller, intake.terms.key)
        if intake.terms.held and intake.terms.repeated:
            joined = await self._engine.store.join(
                caller.tenant, intake.fingerprint, self._engine.owner
            )
            if joined is not None:
                return Admitted(joined, replayed=True)
        seed = intake.fingerprint if intake.terms.held else None
        return await self._accept_new(intake, caller, new_request_id(seed))

    async def admit(
        self, intake: Intake, caller: Caller, request_id: str, generation: int = 0
    ) -> Envelope:
        """Return the envelope under which it may be made durable, its large body in a blob.

        Raises RequestError, EngineError.
        """
        model = self._catalog.find(intake.model, caller)
        self._catalog.check_accepting(model)
        intake = await self._preparing.prepared(intake, caller, model)
        terms = intake.terms
        lane = await self._backlog.admit(model, caller, terms.priority, terms.deadline)
        holder = self._engine.owner if terms.held else None
        envelope = intake.envelope(request_id, caller, model, holder, generation, lane)
        return await large_bodies.set_aside(self._engine, envelope, self._retention_s)

    async def redrive(self, letter: Envelope) -> Admitted:
        """Make a new request of a dead letter; the same one however often this is asked.

        Raises RequestError where its model is no longer served, or takes nothing new.
        """
        request_id = derived_request_id(self._namespace, _NO_TENANT, letter.id)
        found = await self._engine.store.get(request_id)
        if found is None or _was_refused(found):
            self._catalog.check_known(letter.model)
            self._catalog.check_accepting(letter.model)
            lane = await self._backlog.lane_of(letter.model, letter.tenant, letter.priority)
            again = letter.redriven(request_id, time.time(), _generation_after(found))
            envelope = await self._carried_over(replace(again, lane=lane))
            if await self._tasks.finish("redrive", self.durable.make(envelope)):
                return Admitted(born(envelope))
            # Where nothing is found now, it was redriven long ago: past its retention.
            found = await self._engine.store.get(request_id) or born(envelope)
        return Admitted(await self._repeat(found, held=False), replayed=True)

    async def stop(self) -> None:
        """Wait for what has begun."""
        await self._tasks.join()

    async def _accept_once(self, intake: Intake, caller: Caller, key: str) -> Admitted:
        request_id = derived_request_id(self._namespace, caller.tenant, key)
        found = await self._engine.store.get(request_id)
        if found is None or _was_refused(found):
            try:
                return await self._accept_new(intake, caller, request_id, _generation_after(found))
            except _Taken:
                found = await self._engine.store.get(request_id)
        if found is None:
            raise RequestError("idempotency_conflict", _FORGOTTEN)
        if found.body_hash != intake.fingerprint:
            raise RequestError("idempotency_conflict")
        return Admitted(await self._repeat(found, held=intake.terms.held), replayed=True)

    async def _accept_new(
        self, intake: Intake, caller: Caller, request_id: str, generation: int = 0
    ) -> Admitted:
        envelope = await self.admit(intake, caller, request_id, generation)
        if not await self._tasks.finish("accept", self.durable.make(envelope)):
            raise _Taken
        ACCEPTED.labels(envelope.model, envelope.priority).inc()
        return Admitted(born(envelope))

    async def _carried_over(self, again: Envelope) -> Envelope:
        try:
            return await large_bodies.carried_over(self._engine, again, self._retention_s)
        except BlobMissing as error:
            raise RequestError("body_lost") from error

    async def _repeat(self, found: Record, *, held: bool) -> Record:
        """Publish what its first submission has not published yet; hold it if it is held.

        Raises RequestError `not_accepted` when that one has been taken back meanwhile: a refusal is
        never told as a result.
        """
        if not found.published and found.status is Status.QUEUED:
            await self._tasks.finish("publish again", self.durable.publish_again(found.id))
            found = await self._engine.store.get(found.id) or found
        if _was_refused(found):
            raise RequestError("not_accepted")
        if held and not found.terminal:
            return await self._engine.store.hold(found.id, self._engine.owner) or found
        return found


class _Taken(Exception):
    """Another submission has made the record first."""


def _generation_after(refused: Record | None) -> int:
    """Return the generation of a new submission: a late copy of a refused one must be older."""
    return 0 if refused is None else refused.generation + 1


def _was_refused(record: Record) -> bool:
    """Tell whether the record is of a submission that was taken back: it was never told."""
    return record.result is not None and record.result.code == "not_accepted"
