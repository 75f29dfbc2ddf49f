"""The AMQP door of one api process: each submission is accepted, or refused, then acked."""

from __future__ import annotations

import structlog

from api.admission import Admission, Admitted
from api.amqp_intake import cancelling
from api.amqp_intake.acceptance import Acceptance
from api.amqp_intake.addresses import may_reply_to
from api.amqp_intake.progress import Progress
from api.amqp_intake.reading import content_type_of, intake_of, wants_progress
from api.amqp_intake.repeats import Repeats
from api.auth import Authenticator, Caller
from api.backlog import Backlog
from api.catalog import Catalog
from api.settings import Settings
from broker import large_bodies, replying
from broker.lifecycle import Tasks
from broker.persistence import persistently
from broker.ports import Consumer, Engine, Reply, Submission
from broker.replying import JSON, Asker
from broker.telemetry import REFUSED, SUBMITTED
from schemas.errors import RequestError

_log = structlog.get_logger("penstock.amqp_intake")
_GRACE_S = 5.0


class AmqpDoor:
    """Takes what clients publish; on an engine without AMQP it has nothing to do."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        catalog: Catalog,
        backlog: Backlog,
        admission: Admission,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._catalog = catalog
        self._settings = settings
        self._acceptance = Acceptance(engine, admission, settings.server.namespace)
        self._progress = Progress(engine, backlog)
        self._tasks = Tasks("amqp door")
        self._followers = Tasks("amqp followers")
        self._repeats = Repeats(engine, self._followers)
        self._consumer: Consumer | None = None

    async def start(self) -> None:
        """Begin to consume."""
        if self._engine.submissions is not None:
            self._followers.supervise("progress", self._progress.run)
            self._consumer = await self._engine.submissions.consume(self._take)

    async def drain(self) -> None:
        """Consume nothing more; what is in hand is still seen to."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def stop(self) -> None:
        """End; what is not settled comes back to another process."""
        await self.drain()
        await self._tasks.stop(_GRACE_S)
        await self._followers.stop()
        await self._acceptance.stop()

    def _take(self, submission: Submission) -> None:
        self._tasks.spawn("submission", self._see_to(submission))

    async def _see_to(self, submission: Submission) -> None:
        try:
            caller, asker = self._who(submission)
        except RequestError as error:
            await self._refuse(submission, self._asker(submission, None), error)
            return
        try:
            await self._serve(submission, caller, asker)
        except RequestError as error:
            await self._refuse(submission, asker, error)
        except Exception:  # noqa: BLE001  because a bug must neither lose it nor keep it for ever
            _log.exception("failed to take a submission")
            await self._refuse(submission, asker, RequestError("internal_error"))

    def _who(self, submission: Submission) -> tuple[Caller, Asker | None]:
        """Return who asks, and where it wants to be answered. Raises RequestError."""
        caller = self._authenticator.user(submission.user_id)
        return caller, self._asker(submission, caller.tenant)

    async def _serve(self, submission: Submission, caller: Caller, asker: Asker | None) -> None:
        if asker is None and submission.reply_to:
            SUBMITTED.labels("set_aside").inc()
            _log.info("amqp_reply_to_not_allowed", tenant=caller.tenant)
            submission.receipt.set_aside()
        elif submission.kind == cancelling.KIND:
            most = self._settings.server.max_body_bytes
            record = await cancelling.cancel(self._engine, submission, caller, most)
            if asker is not None:
                whole = await large_bodies.inlined_at_last(self._engine, record)
                await self._reply(replying.ended(asker, whole))
            SUBMITTED.labels("cancel").inc()
            submission.receipt.ack()
        else:
            await self._accept(submission, caller, asker)

    async def _accept(self, submission: Submission, caller: Caller, asker: Asker | None) -> None:
        intake = intake_of(submission, asker, self._catalog, self._settings)
        told = wants_progress(submission)
        admitted = await self._acceptance.accept(submission, intake, caller)
        if asker is not None:
            await self._told(asker, admitted, progress=told)
        SUBMITTED.labels("repeated" if admitted.replayed else "accepted").inc()
        await self._acceptance.forget(submission, intake, caller, admitted)
        submission.receipt.ack()

    async def _told(self, asker: Asker, admitted: Admitted, *, progress: bool) -> None:
        if admitted.replayed:
            await self._repeats.tell(asker, admitted.record)
        if progress and not admitted.record.terminal:
            await self._progress.accepted(asker, admitted.record)

    async def _refuse(
        self, submission: Submission, asker: Asker | None, error: RequestError
    ) -> None:
        """Answer with the error, or have the message dead-lettered where nobody may be answered."""
        REFUSED.labels(error.code).inc()
        if asker is None:
            SUBMITTED.labels("set_aside").inc()
            _log.info("amqp_submission_set_aside", code=error.code, reason=error.message)
            submission.receipt.set_aside()
            return
        SUBMITTED.labels("refused").inc()
        await self._reply(replying.refused(asker, error))
        submission.receipt.ack()

    async def _reply(self, reply: Reply) -> None:
        replies = self._engine.replies
        await persistently(lambda: replies.send(reply), "reply")

    def _asker(self, submission: Submission, tenant: str | None) -> Asker | None:
        """Return who may be answered; None too where the client asks for no answer."""
        address = submission.reply_to
        if not address or not may_reply_to(address, tenant, self._authenticator.tenants):
            return None
        return Asker(address, submission.correlation_id, content_type_of(submission) or JSON)
