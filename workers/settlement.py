"""The only module that decides ack, requeue, retry or dead letter.

I1. A delivery is acked only when its record is durably terminal, or when a newer copy of it is
confirmed by the queue. Never because "someone else has it": that loses the request when the other
dies. Hence the order of every function here: commit or confirmed copy first, ack last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from broker import large_bodies
from broker.claims import Early, Finish, Late, Running
from broker.lifecycle import Tasks
from broker.persistence import persistently
from broker.ports import Delivery, Engine, Reservation
from broker.telemetry import FINISHED, PARKED
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.errors import TERMINAL_CODES, EngineError
from schemas.instants import in_words
from schemas.lifecycle import Status
from schemas.result import Result
from workers.answering import Answering
from workers.inflight import InFlight, Outcome
from workers.slots import Slots

_log = structlog.get_logger("penstock.settlement")
# A worker whose last heartbeat is older than this is probably gone: ask again soon.
_QUIET_OWNER_S = 3.0
_LIVE_OWNER_S = 5.0
_PATIENT_AFTER_MEETINGS = 2
_LAST_STEPS_S = 1.0


class Settlement:
    """Ends what the executor began, in an order that no kill can turn into a loss."""

    def __init__(
        self,
        engine: Engine,
        slots: Slots,
        answering: Answering,
        retention_s: float,
        tell_ended: Callable[[Envelope], None] = lambda _envelope: None,
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._answering = answering
        self._retention_s = retention_s
        self._tell_ended = tell_ended
        self._after = Tasks("settlement")

    async def stop(self) -> None:
        """End what is left to do after commits."""
        await self._after.stop(_LAST_STEPS_S)

    async def finish(self, run: InFlight, outcome: Outcome) -> None:
        """Commit, and settle the slot beside it -> reply -> ack (PROTOCOL 4).

        The call has ended: its slot does not wait for the disk.
        """
        usage = outcome.result.usage
        # Where the result does not say what its call used, only this process can settle it.
        told = run.called and run.tokens == (usage.total_tokens if usage is not None else None)
        ending = asyncio.ensure_future(self._end(run))
        try:
            finish = await self.commit(
                run.envelope,
                outcome.result,
                run.attempt,
                run.reservation if told else None,
                dead_letter=outcome.dead_letter,
                made=run.made,
                started_at=run.started_at,
            )
        finally:
            await ending
        await _settle_all(run.settle(), finish)

    async def retry(self, run: InFlight, delay_s: float) -> None:
        """Slot -> confirmed copy -> record -> ack (PROTOCOL 5: never the record first).

        The call has ended: its slot does not wait for RabbitMQ to take the copy.
        """
        await self._end(run)
        copy = run.envelope.next_generation(not_before=time.time() + delay_s)
        queue, store = self._engine.queue, self._engine.store
        await persistently(lambda: queue.publish_later(copy, delay_s), "publish the retry")
        await persistently(lambda: store.requeue(copy, run.attempt, run.made), "requeue the record")
        await _ack_all(run.settle())

    async def give_back(self, run: InFlight) -> None:
        """Return a started request unfinished, for another worker to run: no ack."""
        try:
            await self._engine.store.requeue(run.envelope, run.attempt, run.made)
        except EngineError as error:
            _log.warning("left to the keeper", request=run.envelope.id, error=str(error))
        await self._end(run)
        await requeue_all(run.settle())

    async def drop_finished(self, delivery: Delivery) -> None:
        """Ack a delivery whose record is terminal or has a newer copy.

        Its worker may have died between its commit and its reply.
        """
        await self._answering.found_ended(delivery.envelope)
        await delivery.ack()

    async def abandon(
        self, deliveries: Iterable[Delivery], reservation: Reservation, *, called: bool = False
    ) -> None:
        """After a failure of our own: free the slot and let the message come again."""
        if called:
            await self._slots.settle(reservation, None)
        else:
            await self._slots.refund([reservation])
        await requeue_all(deliveries)

    async def expire(self, delivery: Delivery, late: Late) -> None:
        """Commit a request whose deadline has passed, then ack it."""
        await self.end(delivery, ended(Status.EXPIRED, "expired"), late.attempt)

    async def park(self, delivery: Delivery, early: Early) -> None:
        """Put a message that came before its time into a tier, then ack this delivery."""
        await self._put_back(delivery, delivery.envelope, early.not_before - time.time())

    async def come_again(
        self, delivery: Delivery, reservation: Reservation, delay_s: float
    ) -> None:
        """Put back what cannot be begun here and now; it costs no attempt."""
        await self._slots.refund([reservation])
        await self._put_back(delivery, delivery.envelope, delay_s)

    async def end_unstarted(
        self, delivery: Delivery, reservation: Reservation, result: Result
    ) -> None:
        """End a request that cannot be begun anywhere, if it is this delivery's to end."""
        await self._slots.refund([reservation])
        attempt = await self.attempt_of_waiting(delivery)
        if attempt is not None:
            await self.end(delivery, result, attempt)

    async def park_until(self, delivery: Delivery, at: float, what: str) -> None:
        """Confirmed copy -> record -> ack: it comes back for its turn at `what` (PROTOCOL 3)."""
        copy = delivery.envelope.next_generation(not_before=at)
        queue, store = self._engine.queue, self._engine.store
        delay_s = at - time.time()
        await persistently(lambda: queue.publish_later(copy, delay_s), "park the request")
        if not await persistently(lambda: store.park(copy, what), "note its turn"):
            # It has ended or started meanwhile, and whoever did that knew of no turn.
            await self._slots.give_up([copy.id])
        PARKED.labels(delivery.envelope.model).inc()
        await delivery.ack()

    async def end_too_late(self, delivery: Delivery, at: float, what: str) -> None:
        """End a request whose turn at `what` would come after its deadline."""
        attempt = await self.attempt_of_waiting(delivery)
        if attempt is not None:
            message = f"{what} would let it start at {in_words(at)}, after its deadline."
            await self.end(delivery, ended(Status.EXPIRED, "expired", message), attempt)

    async def attempt_of_waiting(self, delivery: Delivery) -> int | None:
        """Return the attempt as which a request that was not claimed here can be ended.

        None where it is not this delivery's to end, which is settled then: the request has ended,
        has a newer copy, or runs.
        """
        envelope, store = delivery.envelope, self._engine.store
        record = await persistently(lambda: store.get(envelope.id), "look at the record")
        if record is None:
            return 0
        if record.terminal or record.generation > envelope.generation:
            await self.drop_finished(delivery)
            return None
        if record.status is Status.IN_PROGRESS:
            running = Running(record.owner or "", record.attempt, same_generation=False, poison=0)
            await self.meet_live_owner(delivery, running, 0.0)
            return None
        return record.attempt

    async def end(
        self, delivery: Delivery, result: Result, attempt: int, *, dead_letter: bool = False
    ) -> None:
        """Commit the end of a request without a run here, then ack it."""
        finish = await self.commit(delivery.envelope, result, attempt, dead_letter=dead_letter)
        if not finish.won and finish.result is None and await self._is_gone(delivery.envelope.id):
            # A record that nobody may read any more has ended as well, long ago.
            await self.drop_finished(delivery)
        else:
            await _settle_all([delivery], finish)

    async def meet_live_owner(self, delivery: Delivery, found: Running, age_s: float) -> None:
        """Put back, confirmed, a message that a live worker elsewhere runs; then ack.

        Neither run nor plain ack: the copy is what survives if that worker dies.
        """
        if age_s > _QUIET_OWNER_S:
            delay_s = 1.0
        elif delivery.envelope.meetings >= _PATIENT_AFTER_MEETINGS:
            delay_s = 30.0
        else:
            delay_s = _LIVE_OWNER_S
        _log.info("a live worker runs it", request=delivery.envelope.id, owner=found.owner)
        await self._put_back(delivery, delivery.envelope.met_live_owner(), delay_s)

    async def commit(
        self,
        envelope: Envelope,
        result: Result,
        attempt: int,
        reservation: Reservation | None = None,
        *,
        dead_letter: bool = False,
        made: Attempt | None = None,
        started_at: float | None = None,
    ) -> Finish:
        """Commit, holding the result for as long as the store is away, then reply.

        A batch's line is in its input file: that is where it can be tried again from, and no dead
        letter.
        """
        store = self._engine.store
        kept = await large_bodies.result_aside(
            self._engine,
            envelope.id,
            attempt,
            result,
            self._retention_s,
            # As long as a letter: it may be a while before the end of a line is gathered.
            dead_letter=dead_letter or envelope.batch is not None,
        )
        keep_envelope = dead_letter and envelope.batch is None
        finish = await persistently(
            lambda: store.finish(
                envelope, kept, attempt, reservation, keep_envelope=keep_envelope, made=made
            ),
            "commit the result",
        )
        if finish.won:
            FINISHED.labels(envelope.model, result.status).inc()
            self._tell_ended(envelope)
            await self._answering.committed(envelope, result, attempt, started_at)
        elif finish.result is not None:
            await self._answering.found_ended(envelope)
        if envelope.stream and (finish.won or finish.result is not None):
            self._after.spawn("seal the event log", self._seal(envelope.id))
        return finish

    async def _seal(self, request_id: str) -> None:
        """Let the log go in time; one that is not sealed only lives longer."""
        with suppress(EngineError):
            await self._engine.events.seal(request_id)

    async def _end(self, run: InFlight) -> None:
        """Give back what the run held: all of it, or all but what its call used."""
        if run.called:
            await self._slots.settle(run.reservation, run.tokens)
        else:
            await self._slots.refund([run.reservation])

    async def _is_gone(self, request_id: str) -> bool:
        store = self._engine.store
        return await persistently(lambda: store.get(request_id), "look at the record") is None

    async def _put_back(self, delivery: Delivery, copy: Envelope, delay_s: float) -> None:
        queue = self._engine.queue
        await persistently(lambda: queue.publish_later(copy, delay_s), "put the message back")
        await delivery.ack()


def ended(status: Status, code: str, message: str | None = None) -> Result:
    """Return a result without any answer of a backend."""
    return Result(
        status=status,
        finished_at=time.time(),
        code=code,
        message=message or TERMINAL_CODES[code],
    )


async def requeue_all(deliveries: Iterable[Delivery]) -> None:
    """Hand deliveries back to the queue, unstarted or given up."""
    for delivery in deliveries:
        await delivery.requeue()


async def _settle_all(deliveries: Iterable[Delivery], finish: Finish) -> None:
    """Ack what is terminal now; a commit that lost to an attempt still running acks nothing."""
    if finish.won or finish.result is not None:
        await _ack_all(deliveries)
    else:
        await requeue_all(deliveries)


async def _ack_all(deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        await delivery.ack()
