"""Making a submission durable; its message is kept until that is so (PROTOCOL 1).

Nothing is taken back here: a door that keeps the message tries again, under the same id, until the
engine answers. Whoever gets the message after this process finds what it has begun.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from api.admission import Admission, Admitted
from api.auth import Caller
from api.intake import Intake
from broker.lifecycle import Tasks
from broker.persistence import persistently
from broker.ports import Engine, Submission
from broker.telemetry import ACCEPTED
from schemas.envelope import Envelope
from schemas.errors import EngineError, RequestError
from schemas.ids import derived_request_id, new_request_id
from schemas.large import LARGE_BYTES
from schemas.lifecycle import Status
from schemas.record import Record, born

# Part of the ids of this door: a message_id is another name than an equal Idempotency-Key.
_DOOR = "amqp"
_log = structlog.get_logger("penstock.amqp_intake")


class Acceptance:
    """Accepts submissions for one process."""

    def __init__(self, engine: Engine, admission: Admission, namespace: str) -> None:
        self._engine = engine
        self._admission = admission
        self._namespace = namespace
        self._tasks = Tasks("amqp acceptance")

    async def accept(self, submission: Submission, intake: Intake, caller: Caller) -> Admitted:
        """Return once the request is durable, or the one that this message repeats.

        Raises RequestError. It does not raise EngineError, and lasts as long as the engine is away.
        """
        key = submission.message_id
        if key is not None:
            request_id = derived_request_id(self._namespace, caller.tenant, _DOOR, key)
            return await self._accept(intake, caller, request_id, None)
        mark = submission.digest
        if submission.redelivered and (found := await self._taken_in(mark)) is not None:
            return Admitted(await self._repeat(found), replayed=True)
        return await self._accept(intake, caller, new_request_id(mark), mark)

    async def forget(
        self, submission: Submission, intake: Intake, caller: Caller, admitted: Admitted
    ) -> None:
        """Drop the note of a message that is about to be acked. Raises RequestError.

        Without one, an equal message that was delivered again has been taken for this one: then
        this one is accepted once more, so that there are as many requests as messages.
        """
        if submission.message_id is not None or admitted.replayed:
            return
        mark = submission.digest
        # One that is no longer ours to ack is accepted by whoever gets it.
        while not await self._forgotten(mark, admitted.record) and submission.receipt.live:
            admitted = await self._accept(intake, caller, new_request_id(mark), mark)

    async def stop(self) -> None:
        """Wait for what has begun."""
        await self._tasks.join()

    async def _accept(
        self, intake: Intake, caller: Caller, request_id: str, mark: bytes | None
    ) -> Admitted:
        if mark is None and len(intake.body) > LARGE_BYTES:
            # Nothing large is put aside for a message that only repeats another one.
            found = await self._found(request_id)
            if found is not None and not _was_refused(found):
                return await self._same(intake, found)
        try:
            envelope = await persistently(
                lambda: self._admission.admit(intake, caller, request_id), "admit"
            )
        except RequestError:
            # What was accepted before stays so, whatever has become full meanwhile.
            found = await self._found(request_id) if mark is None else None
            if found is None:
                raise
            return await self._same(intake, found)
        store = self._engine.store
        if not await persistently(lambda: store.create(envelope, mark), "create"):
            found = await self._found(request_id)
            if found is None:
                raise RequestError("idempotency_conflict", "This message_id is used up.")
            if mark is not None:
                # Its id is new, so this create is its own, of which the answer was lost.
                return Admitted(await self._repeat(found))
            if not _was_refused(found):
                return await self._same(intake, found)
            envelope = replace(envelope, generation=found.generation + 1)
            await persistently(lambda: store.create(envelope, mark), "create again")
        await self._publish(envelope)
        ACCEPTED.labels(envelope.model, envelope.priority).inc()
        return Admitted(born(envelope))

    async def _same(self, intake: Intake, found: Record) -> Admitted:
        if found.body_hash != intake.fingerprint:
            raise RequestError(
                "idempotency_conflict", "This message_id was used for another request."
            )
        return Admitted(await self._repeat(found), replayed=True)

    async def _taken_in(self, mark: bytes) -> Record | None:
        store = self._engine.store
        request_id = await persistently(lambda: store.taken_in(mark), "look for the mark")
        return None if request_id is None else await self._found(request_id)

    async def _forgotten(self, mark: bytes, record: Record) -> bool:
        store = self._engine.store
        return await persistently(lambda: store.forget_mark(mark, record.id), "forget the mark")

    async def _found(self, request_id: str) -> Record | None:
        store = self._engine.store
        return await persistently(lambda: store.get(request_id), "look at the record")

    async def _repeat(self, found: Record) -> Record:
        """Publish what its first door has not published: it may be gone."""
        if found.published or found.status is not Status.QUEUED:
            return found
        upkeep = self._engine.upkeep
        envelope = await persistently(lambda: upkeep.unpublished(found.id), "read")
        if envelope is not None:
            await self._publish(envelope)
        return found

    async def _publish(self, envelope: Envelope) -> None:
        await persistently(lambda: self._engine.queue.publish(envelope), "publish")
        self._tasks.spawn("mark published", self._mark_published(envelope))

    async def _mark_published(self, envelope: Envelope) -> None:
        try:
            await self._engine.store.mark_published(envelope.id, envelope.generation)
        except EngineError as error:
            _log.info("the keeper will see to it", request=envelope.id, error=str(error))


def _was_refused(record: Record) -> bool:
    return record.result is not None and record.result.code == "not_accepted"
