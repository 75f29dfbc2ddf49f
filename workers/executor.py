"""One delivery from its start to its settlement, as a list of steps.

claim -> (begin the log -> call -> judge)* -> finish | retry | give back

The slot is reserved before; every way out frees it and settles the delivery.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from broker import large_bodies
from broker.claims import Run
from broker.persistence import persistently
from broker.ports import Delivery, Engine, Reservation
from broker.scheduling.keeping import POISON_LIMIT
from broker.scheduling.retry import AnotherReplica, GiveUp, Later
from broker.telemetry import WAIT_SECONDS
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.errors import BlobMissing, EngineError
from schemas.lifecycle import Status
from schemas.result import Result, Usage
from workers.backends.port import Answer, CallFailed
from workers.calling import call, ready_replica
from workers.claiming import Claiming
from workers.inflight import Aborted, InFlight, InFlightMap, Outcome
from workers.retrying import what_follows
from workers.routing.names import name_at
from workers.routing.targets import Target
from workers.settlement import Settlement, ended
from workers.slots import Slots
from workers.streaming import Logs
from workers.upstreams import Upstream

_log = structlog.get_logger("penstock.executor")
# Attempts whose worker died before a heartbeat could witness them; more is poison as well.
_LOST_ATTEMPTS = 10
_AFTER_BUG_S = 5.0
_BODY_AGAIN_S = 5.0
# Its slot stands idle meanwhile.
_BODY_S = 30.0

OnEnd = Callable[[Envelope, Usage | None, float], None]


class Executor:
    """Runs deliveries; one per process, shared by all pools."""

    def __init__(
        self,
        engine: Engine,
        settlement: Settlement,
        slots: Slots,
        inflight: InFlightMap,
        upstreams: Mapping[str, Upstream],
        logs: Logs,
    ) -> None:
        self._engine = engine
        self._settlement = settlement
        self._claiming = Claiming(engine, settlement, slots, inflight)
        self._inflight = inflight
        self._upstreams = upstreams
        self._logs = logs

    async def execute(
        self,
        delivery: Delivery,
        reservation: Reservation,
        target: Target,
        max_attempts: int,
        on_end: OnEnd,
    ) -> None:
        """Carry one delivery, whose slot is reserved, to its settlement, whatever fails.

        `on_end` is told once, however it ends: the usage of the answer, if there was one that said,
        and the seconds that its calls here have taken, 0 if there was none.
        """
        run: InFlight | None = None
        try:
            asked = await self._with_body(delivery, reservation)
            claim = await self._claim(delivery, reservation) if asked is not None else None
            if asked is not None and claim is not None:
                begun = time.time()
                run = InFlight(delivery.envelope, reservation, [delivery], claim.attempt, begun)
                run.fetched = asked
                await self._run_to_its_end(run, claim, target, max_attempts)
        finally:
            self._upstreams[target.backend].replicas.arrived(reservation.id)
            usage, service_s = (run.usage, run.service_s) if run is not None else (None, 0.0)
            on_end(delivery.envelope, usage, service_s)

    async def _with_body(self, delivery: Delivery, reservation: Reservation) -> Envelope | None:
        """Return the envelope with its body; None once the delivery is settled without it.

        Before the claim, so that a place of blobs that is away costs no attempt.
        """
        envelope = delivery.envelope
        if envelope.body_blob is None or time.time() >= envelope.deadline:
            return envelope
        try:
            async with asyncio.timeout(_BODY_S):
                return await large_bodies.with_body(self._engine, envelope)
        except BlobMissing as error:
            _log.error("its body is gone", request=envelope.id, error=str(error))
            lost = ended(Status.FAILED, "body_lost")
            await self._settlement.end_unstarted(delivery, reservation, lost)
        except (EngineError, TimeoutError) as error:
            why = str(error) or f"not there after {_BODY_S:g} s"
            _log.warning("its body is not to be had now", request=envelope.id, error=why)
            await self._settlement.come_again(delivery, reservation, _BODY_AGAIN_S)
        return None

    async def _claim(self, delivery: Delivery, reservation: Reservation) -> Run | None:
        try:
            return await self._claiming.claim(delivery, reservation)
        except Exception:  # noqa: BLE001  because a bug must not keep the request and its slot
            _log.exception("failed before its start", request=delivery.envelope.id)
            await self._settlement.abandon([delivery], reservation)
            return None

    async def _run_to_its_end(
        self, run: InFlight, claim: Run, target: Target, max_attempts: int
    ) -> None:
        self._inflight.add(run)
        try:
            await self._run(run, claim, target, max_attempts)
        except Exception as error:  # noqa: BLE001  because a bug must not keep it either
            _log.exception("failed in the middle", request=run.envelope.id)
            await self._after_failure(run, error, target, max_attempts)
        finally:
            self._inflight.remove(run)

    async def _after_failure(
        self, run: InFlight, error: Exception, target: Target, max_attempts: int
    ) -> None:
        """A bug of ours costs an attempt, as a backend's failure does; it never keeps a request."""
        message = f"Penstock failed while running it: {type(error).__name__}."
        exhausted = Outcome(ended(Status.FAILED, "attempts_exhausted", message), dead_letter=True)
        run.made = Attempt(
            run.attempt, target.backend, run.started_at, time.time(), "internal", None, message
        )
        try:
            if run.attempt < max_attempts:
                await self._settlement.retry(run, _AFTER_BUG_S)
            else:
                await self._settlement.finish(run, exhausted)
        except Exception:  # noqa: BLE001  because see above
            _log.exception("could not be settled", request=run.envelope.id)
            await self._settlement.abandon(run.settle(), run.reservation)

    async def _run(self, run: InFlight, claim: Run, target: Target, max_attempts: int) -> None:
        if claim.poison >= POISON_LIMIT or claim.attempt > max_attempts + _LOST_ATTEMPTS:
            poisoned = Outcome(ended(Status.FAILED, "poisoned"), dead_letter=True)
            await self._settlement.finish(run, poisoned)
            return
        wait_s = run.started_at - run.envelope.accepted_at
        WAIT_SECONDS.labels(run.envelope.model, run.envelope.priority).observe(max(0.0, wait_s))
        try:
            step = await self._attempts(run, target, max_attempts)
        except Aborted:
            await self._after_abort(run)
            return
        if isinstance(step, Later):
            await self._settlement.retry(run, step.delay_s)
        else:
            await self._settlement.finish(run, step)

    async def _attempts(self, run: InFlight, target: Target, max_attempts: int) -> Outcome | Later:
        """Call until there is an answer, a reason to wait, or nothing left to try."""
        model = name_at(target, run.asked)
        tried: list[str] = []
        while time.time() < run.envelope.deadline:
            # Looked up for each call: a reload may have come in between.
            upstream = self._upstreams[target.backend]
            url = await ready_replica(run, upstream, tried)
            if url is None:
                break
            tried.append(url)
            if not await self._logs.begin(run):
                return Outcome(ended(Status.FAILED, "stream_interrupted"), dead_letter=True)
            try:
                writer = self._logs.writer(run, upstream.name)
                answer = await call(run, upstream, url, model, writer)
            except CallFailed as failed:
                step = what_follows(run, upstream, failed, tried, max_attempts)
                if isinstance(step, Later):
                    return step
                if isinstance(step, GiveUp):
                    return _given_up(step, failed, target.backend, model)
                if isinstance(step, AnotherReplica):
                    await self._renew_attempt(run)
            else:
                return Outcome(_completed(run, answer, target.backend, model))
        return Outcome(ended(Status.EXPIRED, "expired"))

    async def _renew_attempt(self, run: InFlight) -> None:
        """Write the next attempt's number before its call (PROTOCOL 3.3); the slot is kept."""
        store = self._engine.store
        ours = await persistently(
            lambda: store.next_attempt(run.envelope.id, run.attempt, run.reservation, run.made),
            "write the next attempt",
        )
        if not ours:
            raise Aborted
        run.attempt += 1
        run.made = None

    async def _after_abort(self, run: InFlight) -> None:
        store = self._engine.store
        statuses = await persistently(lambda: store.statuses([run.envelope.id]), "read the status")
        if statuses.get(run.envelope.id, Status.QUEUED) in (Status.QUEUED, Status.IN_PROGRESS):
            await self._settlement.give_back(run)
        else:
            await self._settlement.finish(run, Outcome(ended(Status.CANCELLED, "cancelled")))


def _completed(run: InFlight, answer: Answer, backend: str, model: str) -> Result:
    return Result(
        status=Status.COMPLETED,
        finished_at=time.time(),
        status_code=answer.status_code,
        content_type=answer.content_type,
        body=answer.body,
        usage=answer.usage,
        backend=backend,
        backend_model=model,
        first_event=run.first_event,
    )


def _given_up(step: GiveUp, failed: CallFailed, backend: str, model: str) -> Outcome:
    answer = failed.answer
    result = Result(
        status=Status.FAILED,
        finished_at=time.time(),
        code=step.code,
        message=failed.message,
        status_code=answer.status_code if answer else None,
        content_type=answer.content_type if answer else None,
        body=answer.body if answer else None,
        backend=backend,
        backend_model=model,
    )
    return Outcome(result, dead_letter=step.dead_letter)
