"""The whole life of requests through every port of the embedded engine, in random order.

A worker is played step by step, and killed between any two of its steps. What must hold: no
request is lost, none ends twice, every count is exact at every step and zero at rest.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from broker.claims import Done, Late, Run
from broker.embedded import connection
from broker.embedded.engine import EmbeddedEngine
from broker.embedded.limits import EmbeddedLimits
from broker.ports import (
    Cap,
    Delivery,
    Granted,
    Rate,
    Reservation,
    Spent,
    StartAt,
    State,
    TooLate,
    Wait,
    Want,
)
from broker.scheduling.keeping import Facts, Move, decide
from schemas.envelope import Envelope
from schemas.ids import PARTITIONS
from schemas.lifecycle import TERMINAL, Status
from schemas.priority import RANK, Lane, Priority
from schemas.record import Record
from schemas.result import Result
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result

T = TypeVar("T")
MODEL, BACKEND = "m", "gpu-a"
SLOTS = Cap(BACKEND, 2, "a slot")
OWN: dict[str, tuple[Cap | Rate, ...]] = {
    "free": (),
    "capped": (Cap("capped/parallel", 1, "max_parallel_requests"),),
    "metered": (Rate("metered/rpm", 1, 1, "rpm", "requests"),),
}
CLASSES = (Priority.HIGH, Priority.NORMAL)
# With few requests the steps meet each other.
FEW = 6
EPOCH = 1_800_000_000.0
RETENTION_S = 10 * 86_400.0
HANDED_WITHIN_S = 2.0
# Of ten seconds: a slot that was held while time passed makes the next turn as far away.
ROUNDS_TO_REST = 400
ANY = st.integers(0, FEW - 1)
TENANTS = st.sampled_from([*OWN, "metered"])
PRIORITIES = st.sampled_from(CLASSES)
LANES = st.sampled_from(Lane)
SELDOM = st.integers(0, 9).map(lambda number: number == 7)


@dataclass(slots=True)
class Started:
    """A claimed request in the hands of the played worker."""

    delivery: Delivery
    reservation: Reservation
    attempt: int


class WholeModel(RuleBasedStateMachine):
    """Rules are the steps of doors, workers, keeper and operator; each is as the ports ask."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.now = EPOCH
        self.accepted: dict[str, Envelope] = {}
        self.ends: dict[str, Result] = {}
        self.hands: dict[str, Delivery] = {}
        self.granted: dict[str, Reservation] = {}
        self.running: dict[str, Started] = {}
        self.reservations = 0
        self.paused = False
        self.engine = self.run(self._open())

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    async def _open(self) -> EmbeddedEngine:
        # A restart is no power loss, and syncs would take most of the time.
        synchronous, connection.SYNCHRONOUS = connection.SYNCHRONOUS, "OFF"
        try:
            folder = Path(self.directory.name)
            engine = EmbeddedEngine(folder, RETENTION_S, clock=lambda: self.now)
            await engine.start()
        finally:
            connection.SYNCHRONOUS = synchronous
        await self.prepare(engine)
        for priority in CLASSES:
            for lane in Lane:
                await engine.queue.consume(MODEL, priority, lane, 4 * FEW, self._take)
        return engine

    async def prepare(self, engine: EmbeddedEngine) -> None:
        """Plant a fault, in a machine that has one."""

    def _take(self, delivery: Delivery) -> None:
        self.hands[delivery.envelope.id] = delivery

    # The door.

    @initialize(requests=st.lists(st.tuples(TENANTS, PRIORITIES, LANES), min_size=2, max_size=4))
    def begin(self, requests: list[tuple[str, Priority, Lane]]) -> None:
        for tenant, priority, lane in requests:
            self.accept(tenant, priority, lane, 3_600, dies=False)

    @precondition(lambda self: len(self.accepted) < FEW)
    @rule(
        tenant=TENANTS,
        priority=PRIORITIES,
        lane=LANES,
        lifetime_s=st.sampled_from([20, 200, 3_600]),
        dies=SELDOM,
    )
    def accept(
        self, tenant: str, priority: Priority, lane: Lane, lifetime_s: int, dies: bool
    ) -> None:
        envelope = make_envelope(
            tenant=tenant,
            model=MODEL,
            priority=priority,
            lane=lane,
            accepted_at=self.now,
            deadline=self.now + lifetime_s,
        )
        assert self.run(self.engine.store.create(envelope))
        self.accepted[envelope.id] = envelope
        if dies:
            self.crash()
            return
        self.run(self.engine.queue.publish(envelope))
        self.run(self.engine.store.mark_published(envelope.id, envelope.generation))

    @precondition(lambda self: self.accepted)
    @rule(index=ANY)
    def cancel(self, index: int) -> None:
        request_id = _pick(list(self.accepted), index)
        record = self.run(self.engine.store.cancel(request_id))
        assert record is not None
        assert record.status in TERMINAL

    # The worker.

    @precondition(lambda self: self.waiting and not self.paused)
    @rule(index=ANY)
    def reserve(self, index: int) -> None:
        self.run(self._reserve(_pick(self.waiting, index)))

    @precondition(lambda self: self.waiting and not self.paused)
    @rule()
    def reserve_for_all(self) -> None:
        for request_id in self.waiting:
            self.run(self._reserve(request_id))

    @precondition(lambda self: self.granted)
    @rule(index=ANY)
    def claim(self, index: int) -> None:
        self.run(self._claim(_pick(list(self.granted), index)))

    @precondition(lambda self: self.running)
    @rule(index=ANY, status=st.sampled_from([Status.COMPLETED, Status.FAILED]), dies=SELDOM)
    def commit(self, index: int, status: Status, dies: bool) -> None:
        self.run(self._commit(_pick(list(self.running), index), status, settles=not dies))
        if dies:
            self.crash()

    @precondition(lambda self: self.running)
    @rule(index=ANY, delay_s=st.sampled_from([1, 30]), dies=SELDOM)
    def retry(self, index: int, delay_s: int, dies: bool) -> None:
        request_id = _pick(list(self.running), index)
        started = self.running.pop(request_id)
        copy = started.delivery.envelope.next_generation(self.now + delay_s)
        self.run(self.engine.limits.settle([Spent(started.reservation)]))
        self.run(self.engine.queue.publish_later(copy, delay_s))
        if dies:
            self.crash()
            return
        self.run(self.engine.store.requeue(copy, started.attempt))
        self.run(self._ack(request_id))

    @precondition(lambda self: self.waiting)
    @rule(index=ANY)
    def hand_back(self, index: int) -> None:
        request_id = _pick(self.waiting, index)
        self.run(self.hands.pop(request_id).requeue())

    @rule(dies=SELDOM)
    def crash(self, dies: bool = True) -> None:
        """Die with all that is held: slots and bookings go with the process."""
        if not dies:
            return
        self.run(self.engine.stop())
        self.hands, self.granted, self.running = {}, {}, {}
        self.engine = self.run(self._open())

    # The keeper, the operator, the time.

    @rule()
    def keep(self) -> None:
        self.run(self._keep())

    @rule(pauses=st.sampled_from([False, False, True]))
    def pause_or_resume(self, pauses: bool) -> None:
        self.paused = pauses
        state = State.PAUSED if self.paused else State.RUNNING
        self.run(self.engine.switches.set("model", MODEL, state))

    @rule(seconds=st.sampled_from([1, 1, 10, 45, 400]))
    def let_pass(self, seconds: int) -> None:
        self.now += seconds
        self.run(self._look())

    # What holds at every step.

    @invariant()
    def a_pause_outlives_the_process(self) -> None:
        paused = {("model", MODEL): State.PAUSED} if self.paused else {}
        assert self.run(self.engine.switches.all()) == paused

    @invariant()
    def nothing_is_lost_and_nothing_ends_twice(self) -> None:
        for record in self.run(self._records()):
            known = self.ends.get(record.id)
            if record.terminal:
                assert record.result is not None
                assert known is None or known == record.result, "a request has ended twice"
                self.ends[record.id] = record.result
                continue
            assert known is None, "an ended request is open again"
            runs = record.id in self.running
            assert (record.status is Status.IN_PROGRESS) == runs

    @invariant()
    def what_may_start_is_handed_over(self) -> None:
        records = self.run(self._records())
        ready = {record.id for record in records if self._ready(record)}
        assert self.run(self._handed(ready)), "a request waits and nobody is handed it"

    @invariant()
    def every_count_is_exact(self) -> None:
        records = self.run(self._records())
        queued = Counter(
            (record.priority, record.tenant) for record in records if record.status is Status.QUEUED
        )
        waiting = self.run(self.engine.store.waiting(MODEL))
        counted = {
            (priority, tenant): count
            for priority, tenants in waiting.items()
            for tenant, count in tenants.items()
        }
        assert counted == queued
        for tenant in OWN:
            is_open = sum(not each.terminal for each in records if each.tenant == tenant)
            assert self.run(self.engine.store.open_count(tenant)) == is_open

    @invariant()
    def no_limit_is_passed_and_no_slot_is_forgotten(self) -> None:
        held = [*self.granted, *self.running]
        assert self.run(self.engine.limits.held(SLOTS.key)) == len(held) <= SLOTS.limit
        (cap,) = OWN["capped"]
        assert isinstance(cap, Cap)
        of_capped = sum(self.accepted[each].tenant == "capped" for each in held)
        assert self.run(self.engine.limits.held(cap.key)) == of_capped <= cap.limit

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.run(self._come_to_rest())
        finally:
            self.run(self.engine.stop())
            self.runner.close()
            self.directory.cleanup()

    # The steps.

    @property
    def waiting(self) -> list[str]:
        """Those in our hands for which nothing is reserved, as they were accepted.

        Not as they were handed over: two lines may be served at once, in any order.
        """
        busy = {*self.granted, *self.running}
        return [each for each in self.accepted if each in self.hands and each not in busy]

    async def _reserve(self, request_id: str) -> None:
        envelope = self.hands[request_id].envelope
        want = Want(
            request_id,
            BACKEND,
            MODEL,
            RANK[envelope.priority],
            envelope.accepted_at,
            envelope.deadline,
            SLOTS,
            OWN[envelope.tenant],
        )
        self.reservations += 1
        minted = f"{self.engine.owner}:{self.reservations}"
        (answer,) = await self.engine.limits.reserve([(want, minted)])
        match answer:
            case Granted(reservation):
                self.granted[request_id] = reservation
            case StartAt(at, what):
                assert at > self.now
                await self._park(request_id, at, what)
            case TooLate(at, _):
                assert at > envelope.deadline
            case Wait():
                assert await self.engine.limits.held(SLOTS.key) == SLOTS.limit

    async def _park(self, request_id: str, at: float, what: str) -> None:
        copy = self.hands[request_id].envelope.next_generation(at)
        await self.engine.queue.publish_later(copy, at - self.now)
        if not await self.engine.store.park(copy, what):
            await self.engine.limits.give_up([request_id])
        await self._ack(request_id)

    async def _claim(self, request_id: str) -> None:
        reservation = self.granted.pop(request_id)
        delivery = self.hands[request_id]
        answer = await self.engine.store.claim(delivery.envelope, reservation)
        if isinstance(answer, Run):
            self.running[request_id] = Started(delivery, reservation, answer.attempt)
            return
        await self.engine.limits.refund([reservation])
        if isinstance(answer, Late):
            expired = self._result(Status.EXPIRED)
            await self.engine.store.finish(delivery.envelope, expired, answer.attempt)
        else:
            assert isinstance(answer, Done), answer
        await self._ack(request_id)

    async def _commit(self, request_id: str, status: Status, *, settles: bool) -> None:
        started, result = self.running.pop(request_id), self._result(status)
        envelope = started.delivery.envelope
        finish = await self.engine.store.finish(
            envelope, result, started.attempt, started.reservation
        )
        told = self.ends.get(request_id)
        assert finish.won == (told is None)
        assert finish.result == (told or result)
        if settles:
            await self.engine.limits.settle([Spent(started.reservation)])
            await self._ack(request_id)

    def _result(self, status: Status) -> Result:
        return replace(make_result(status), finished_at=self.now)

    async def _ack(self, request_id: str) -> None:
        if (delivery := self.hands.pop(request_id, None)) is not None:
            await delivery.ack()

    async def _keep(self) -> None:
        """Do what the keeper does, with a clock of our own."""
        upkeep = self.engine.upkeep
        for partition in range(PARTITIONS):
            for record in await upkeep.due(partition, 100):
                facts = Facts(owner_alive=True, holder_alive=True, queues_empty_for_s=0)
                step = decide(record, facts, self.now)
                assert step.move in (Move.WAIT, Move.EXPIRE)
                if step.move is Move.EXPIRE:
                    await upkeep.end(record, self._result(Status.EXPIRED))
                await upkeep.check_again(record.id, step.look_again_at)
            entries = await upkeep.outbox(partition, 100)
            if entries:
                spent = [Spent(each.reservation) for _, each in entries if each.reservation]
                await self.engine.limits.settle(spent)
                await self.engine.limits.give_up([each.request_id for _, each in entries])
                await upkeep.outbox_done(partition, entries[-1][0])
        ended = {record.id for record in await self._records() if record.terminal}
        assert not ended & self._booked(), "a turn is booked for a request that has ended"

    def _booked(self) -> set[str]:
        limits = self.engine.limits
        assert isinstance(limits, EmbeddedLimits)
        return set(limits._reserver._booked)

    async def _look(self) -> None:
        """Let the alarm clock of parked requests look at ours."""
        self.engine._queue._parking.look()

    async def _records(self) -> list[Record]:
        found = [await self.engine.store.get(request_id) for request_id in self.accepted]
        assert None not in found, "a request was lost"
        return [record for record in found if record is not None]

    def _ready(self, record: Record) -> bool:
        return record.status is Status.QUEUED and (record.not_before or 0) <= self.now

    async def _handed(self, request_ids: set[str]) -> bool:
        """Wait until all of these are in our hands."""
        loop = asyncio.get_running_loop()
        until = loop.time() + HANDED_WITHIN_S
        while not request_ids <= set(self.hands):
            if loop.time() > until:
                return False
            await asyncio.sleep(0.001)
        return True

    async def _come_to_rest(self) -> None:
        """Serve what is left, and find nothing counted, held or booked for it any more."""
        for _ in range(ROUNDS_TO_REST):
            for request_id in list(self.running):
                await self._commit(request_id, Status.COMPLETED, settles=True)
            for request_id in list(self.granted):
                await self._claim(request_id)
            for request_id in self.waiting:
                await self._reserve(request_id)
            self.now += 10
            await self._look()
            await self._keep()
            records = await self._records()
            assert await self._handed({record.id for record in records if self._ready(record)})
            if all(record.terminal for record in records) and not self.hands:
                break
        assert [record for record in await self._records() if not record.terminal] == []
        await self._keep()
        await self._assert_at_rest()

    async def _assert_at_rest(self) -> None:
        engine = self.engine
        assert await engine.store.waiting_models() == []
        assert await engine.store.waiting(MODEL) == {}
        assert [await engine.store.open_count(tenant) for tenant in OWN] == [0] * len(OWN)
        assert [await engine.queue.depth(MODEL, priority) for priority in CLASSES] == [0, 0]
        assert await engine.queue.tiers_empty()
        assert await engine.limits.held(SLOTS.key) == 0
        assert not self._booked()
        # A minute after the last start every bucket is full again, unless something is booked.
        self.now += 61
        for own in OWN.values():
            assert await engine.limits.peek(own, RANK[Priority.NORMAL]) <= self.now + 0.01
        self.now += 3_600
        assert [await engine.upkeep.due(each, 100) for each in range(PARTITIONS)] == (
            [[]] * PARTITIONS
        )


def _pick(ids: Sequence[str], index: int) -> str:
    return ids[index % len(ids)]
