"""One delivery from its start to its settlement, as a list of steps.

claim -> (call -> judge)* -> finish | retry | give back

The slot is reserved before; every way out frees it and settles the delivery.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog

from broker.claims import Claim, Early, Late, Run, Running
from broker.ports import Delivery, Engine, Reservation
from broker.scheduling.keeping import POISON_LIMIT
from broker.scheduling.retry import RETRY_DELAY_S, Failure, GiveUp, Later, next_step
from broker.telemetry import ATTEMPTS, CALL_SECONDS, WAIT_SECONDS
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.result import Result
from workers.backends.port import Answer, Call, CallFailed
from workers.inflight import InFlight, InFlightMap, Outcome
from workers.routing.names import name_at, with_model
from workers.routing.targets import Target
from workers.settlement import Settlement, ended, persistently
from workers.slots import Slots
from workers.upstreams import Upstream

_log = structlog.get_logger("penstock.executor")
# Attempts whose worker died before a heartbeat could witness them; more is poison as well.
_LOST_ATTEMPTS = 10
# Closing a connection tells the backend only a moment later; the slot is held until it knows.
_ABORT_LINGER_S = 0.25
_CUT_SHORT = (Failure.TIMED_OUT, Failure.UNUSABLE)


class Aborted(Exception):
    """The call was dropped because the request ended elsewhere or the process must go."""


class Executor:
    """Runs deliveries; one per process, shared by all pools."""

    def __init__(
        self,
        engine: Engine,
        settlement: Settlement,
        slots: Slots,
        inflight: InFlightMap,
        upstreams: Mapping[str, Upstream],
    ) -> None:
        self._engine = engine
        self._settlement = settlement
        self._slots = slots
        self._inflight = inflight
        self._upstreams = upstreams

    async def execute(
        self, delivery: Delivery, reservation: Reservation, target: Target, max_attempts: int
    ) -> None:
        """Carry one delivery, whose slot is reserved, to its settlement, whatever fails."""
        try:
            with self._inflight.claiming(delivery.envelope.id):
                claim = await self._claim(delivery.envelope, reservation)
            if not isinstance(claim, Run):
                await self._slots.refund([reservation])
                await self._settle_unclaimed(delivery, claim)
                return
        except Exception:  # noqa: BLE001  because a bug must not keep the request and its slot
            _log.exception("failed before its start", request=delivery.envelope.id)
            await self._settlement.abandon([delivery], reservation)
            return
        run = InFlight(delivery.envelope, reservation, [delivery], claim.attempt, time.time())
        self._inflight.add(run)
        try:
            await self._run(run, claim, target, max_attempts)
        except Exception as error:  # noqa: BLE001  because see above
            _log.exception("failed in the middle", request=run.envelope.id)
            await self._after_failure(run, error, max_attempts)
        finally:
            self._inflight.remove(run)

    async def _after_failure(self, run: InFlight, error: Exception, max_attempts: int) -> None:
        """A bug of ours costs an attempt, as a backend's failure does; it never keeps a request."""
        message = f"Penstock failed while running it: {type(error).__name__}."
        exhausted = Outcome(ended(Status.FAILED, "attempts_exhausted", message), dead_letter=True)
        try:
            if run.attempt < max_attempts:
                await self._settlement.retry(run, RETRY_DELAY_S)
            else:
                await self._settlement.finish(run, exhausted)
        except Exception:  # noqa: BLE001  because see above
            _log.exception("could not be settled", request=run.envelope.id)
            await self._settlement.abandon(run.settle(), run.reservation, called=run.called)

    async def _claim(self, envelope: Envelope, reservation: Reservation) -> Claim:
        store = self._engine.store
        claim = await persistently(lambda: store.claim(envelope, reservation), "claim")
        if not isinstance(claim, Running) or not await self._owner_is_gone(claim, envelope.id):
            return claim
        owner = claim.owner
        _log.warning("takes over from a dead worker", request=envelope.id, owner=owner)
        return await persistently(
            lambda: store.take_over(envelope, owner, reservation), "take the request over"
        )

    async def _owner_is_gone(self, found: Running, request_id: str) -> bool:
        if found.owner == self._engine.owner:
            # Ours by name but not in our hands: its run ended between two steps of ours.
            return found.same_generation and not self._inflight.knows(request_id)
        members = self._engine.members
        age = await persistently(lambda: members.last_beat(found.owner), "look for the owner")
        return age is None

    async def _settle_unclaimed(self, delivery: Delivery, claim: Claim) -> None:
        match claim:
            case Late():
                await self._settlement.expire(delivery, claim)
            case Early():
                await self._settlement.park(delivery, claim)
            case Running() if (run := self._adopter(delivery, claim)) is not None:
                if not run.adopt(delivery):
                    await delivery.requeue()
            case Running():
                members = self._engine.members
                age = await persistently(lambda: members.last_beat(claim.owner), "look again")
                await self._settlement.meet_live_owner(delivery, claim, age or 0.0)
            case _:
                await self._settlement.drop_finished(delivery)

    def _adopter(self, delivery: Delivery, found: Running) -> InFlight | None:
        """Return our own run of the same generation: it settles this delivery with its others."""
        if found.owner != self._engine.owner or not found.same_generation:
            return None
        return self._inflight.get(delivery.envelope.id)

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
            await asyncio.sleep(_ABORT_LINGER_S)
            await self._after_abort(run)
            return
        if isinstance(step, Later):
            await self._settlement.retry(run, step.delay_s)
        else:
            await self._settlement.finish(run, step)

    async def _attempts(self, run: InFlight, target: Target, max_attempts: int) -> Outcome | Later:
        """Call until there is an answer, a reason to wait, or nothing left to try."""
        model = name_at(target, run.envelope)
        tried: list[str] = []
        while True:
            if time.time() >= run.envelope.deadline:
                return Outcome(ended(Status.EXPIRED, "expired"))
            # Looked up for each call: a reload may have come in between.
            upstream = self._upstreams[target.backend]
            url = upstream.replicas.choose(tried)
            tried.append(url)
            try:
                answer = await self._call(run, upstream, url, model)
            except CallFailed as failed:
                _log.info(
                    "attempt failed",
                    request=run.envelope.id,
                    attempt=run.attempt,
                    backend=target.backend,
                    error=failed.message,
                )
                if failed.failure in _CUT_SHORT:
                    await asyncio.sleep(_ABORT_LINGER_S)
                untried = upstream.replicas.untried(tried)
                step = next_step(failed.failure, run.attempt, max_attempts, untried, len(tried))
                if isinstance(step, GiveUp):
                    return _given_up(step, failed, target.backend, model)
                if isinstance(step, Later):
                    return step
                await self._renew_attempt(run)
            else:
                return Outcome(_completed(answer, target.backend, model))

    async def _renew_attempt(self, run: InFlight) -> None:
        """Write the next attempt's number before its call (PROTOCOL 3.3); the slot is kept."""
        store = self._engine.store
        ours = await persistently(
            lambda: store.next_attempt(run.envelope.id, run.attempt, run.reservation),
            "write the next attempt",
        )
        if not ours:
            raise Aborted
        run.attempt += 1

    async def _call(self, run: InFlight, upstream: Upstream, url: str, model: str) -> Answer:
        """Make one call, dropping it when the run is aborted or its deadline passes."""
        remaining_s = max(0.001, run.envelope.deadline - time.time())
        call = Call(
            request_id=run.envelope.id,
            attempt=run.attempt,
            endpoint=run.envelope.endpoint,
            body=with_model(run.envelope, model),
            content_type=run.envelope.content_type,
            timeout_s=min(upstream.timeout_s, remaining_s),
            traceparent=run.envelope.traceparent,
        )
        started, run.called, run.tokens = time.monotonic(), True, None
        with upstream.replicas.calling(url):
            calling = asyncio.ensure_future(upstream.backend.call(url, call))
            aborting = asyncio.ensure_future(run.aborted.wait())
            try:
                await asyncio.wait({calling, aborting}, return_when=asyncio.FIRST_COMPLETED)
                if not calling.done():
                    raise Aborted
                answer = calling.result()
            except CallFailed as failed:
                ATTEMPTS.labels(upstream.name, failed.failure.name.lower()).inc()
                run.tokens = 0 if failed.answer is not None else None
                raise
            else:
                ATTEMPTS.labels(upstream.name, "ok").inc()
                run.tokens = answer.usage.total_tokens if answer.usage is not None else None
                return answer
            finally:
                CALL_SECONDS.labels(upstream.name).observe(time.monotonic() - started)
                await _cancelled(calling)
                await _cancelled(aborting)

    async def _after_abort(self, run: InFlight) -> None:
        store = self._engine.store
        statuses = await persistently(lambda: store.statuses([run.envelope.id]), "read the status")
        if statuses.get(run.envelope.id, Status.QUEUED) in (Status.QUEUED, Status.IN_PROGRESS):
            await self._settlement.give_back(run)
        else:
            await self._settlement.finish(run, Outcome(ended(Status.CANCELLED, "cancelled")))


def _completed(answer: Answer, backend: str, model: str) -> Result:
    return Result(
        status=Status.COMPLETED,
        finished_at=time.time(),
        status_code=answer.status_code,
        content_type=answer.content_type,
        body=answer.body,
        usage=answer.usage,
        backend=backend,
        backend_model=model,
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


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a task of ours and wait until it is gone, whatever it ends with."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
