"""I1 in its order: commit or confirmed copy first, ack last, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker.claims import Early, Finish, Late, Running
from broker.ports import Engine, Reservation
from schemas.envelope import Envelope
from schemas.errors import QueueUnavailable, StoreUnavailable
from schemas.lifecycle import Status
from tests.fakes.envelopes import make_envelope
from workers.answering import Answering
from workers.inflight import InFlight, Outcome
from workers.settlement import Settlement, ended
from workers.slots import Slots

RESULT = ended(Status.COMPLETED, "expired", "any")


class Diary:
    """An engine that writes down what is asked of it, and fails where it is told to."""

    def __init__(self, finish: Finish | None = None) -> None:
        self.steps: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.finish = finish or Finish(won=True, result=RESULT)
        self.published: list[Envelope] = []
        self.delays: list[float] = []
        self.parks = True

    def engine(self) -> Engine:
        store = SimpleNamespace(
            finish=self._step("finish", lambda: self.finish),
            requeue=self._step("requeue the record", lambda: True),
            park=self._step("park the record", lambda: self.parks),
        )
        limits = SimpleNamespace(
            settle=self._step("settle", lambda: None),
            refund=self._step("refund", lambda: None),
            give_up=self._step("give up", lambda: None),
        )
        queue = SimpleNamespace(publish_later=self._publish_later)
        upkeep = SimpleNamespace(on_outbox=lambda _tell: None)
        parts = {"store": store, "limits": limits, "queue": queue, "upkeep": upkeep}
        return cast(Engine, SimpleNamespace(**parts))

    def _step(self, name: str, answer: Callable[[], Any]) -> Callable[..., Any]:
        async def step(*_arguments: object, **_options: object) -> Any:
            await asyncio.sleep(0)
            if self.failures.get(name):
                raise self.failures[name].pop(0)
            self.steps.append(name)
            return answer()

        return step

    async def _publish_later(self, envelope: Envelope, delay_s: float) -> None:
        await self._step("publish", lambda: None)()
        self.published.append(envelope)
        self.delays.append(delay_s)


@dataclass
class NotedDelivery:
    """A delivery that writes its settlement into the same diary."""

    diary: Diary
    envelope: Envelope = field(default_factory=make_envelope)

    async def ack(self) -> None:
        self.diary.steps.append("ack")

    async def requeue(self) -> None:
        self.diary.steps.append("requeue the delivery")


def settlement_of(diary: Diary) -> Settlement:
    engine = diary.engine()
    return Settlement(engine, Slots(engine.limits, "me:1"), Answering(engine, 60.0), 60.0)


def a_run(diary: Diary, deliveries: int = 1) -> InFlight:
    hand_overs = [NotedDelivery(diary) for _ in range(deliveries)]
    return InFlight(
        hand_overs[0].envelope, Reservation("b", "me:1"), list(hand_overs), attempt=1, called=True
    )


async def test_the_ack_comes_after_the_commit_and_settles_every_delivery() -> None:
    diary = Diary()
    await settlement_of(diary).finish(a_run(diary, deliveries=2), Outcome(RESULT))
    assert diary.steps == ["finish", "settle", "ack", "ack"]


async def test_a_commit_that_found_another_result_acks_too() -> None:
    diary = Diary(Finish(won=False, result=RESULT))
    await settlement_of(diary).finish(a_run(diary), Outcome(RESULT))
    assert diary.steps == ["finish", "settle", "ack"]


async def test_a_commit_that_lost_to_a_running_attempt_acks_nothing() -> None:
    diary = Diary(Finish(won=False, result=None))
    await settlement_of(diary).finish(a_run(diary), Outcome(RESULT))
    assert diary.steps == ["finish", "settle", "requeue the delivery"]


async def test_a_result_is_held_until_the_store_answers() -> None:
    diary = Diary()
    diary.failures["finish"] = [StoreUnavailable("away")] * 3
    await settlement_of(diary).finish(a_run(diary), Outcome(RESULT))
    assert diary.steps == ["settle", "finish", "ack"]


async def test_slots_that_cannot_be_freed_do_not_hold_up_the_ack() -> None:
    diary = Diary()
    diary.failures["settle"] = [StoreUnavailable("away")]
    await settlement_of(diary).finish(a_run(diary), Outcome(RESULT))
    assert diary.steps == ["finish", "ack"]


async def test_a_retry_is_a_confirmed_copy_before_the_record_before_the_ack() -> None:
    diary = Diary()
    diary.failures["publish"] = [QueueUnavailable("away")]
    run = a_run(diary)
    await settlement_of(diary).retry(run, 5.0)
    assert diary.steps == ["settle", "publish", "requeue the record", "ack"]
    assert diary.published[0].generation == run.envelope.generation + 1
    assert diary.published[0].not_before is not None


async def test_what_is_given_back_is_never_acked() -> None:
    diary = Diary()
    diary.failures["requeue the record"] = [StoreUnavailable("away")]
    await settlement_of(diary).give_back(a_run(diary))
    assert diary.steps == ["settle", "requeue the delivery"]


async def test_an_expired_delivery_is_committed_before_its_ack() -> None:
    diary = Diary()
    await settlement_of(diary).expire(NotedDelivery(diary), Late(2))
    assert diary.steps == ["finish", "ack"]


async def test_an_early_delivery_is_parked_before_its_ack() -> None:
    diary = Diary()
    await settlement_of(diary).park(NotedDelivery(diary), Early(4e9))
    assert diary.steps == ["publish", "ack"]


@pytest.mark.parametrize(
    ("age_s", "meetings", "delay_s"), [(0.5, 0, 5.0), (3.5, 0, 1.0), (0.5, 2, 30.0)]
)
async def test_a_message_that_runs_elsewhere_is_put_back_before_its_ack(
    age_s: float, meetings: int, delay_s: float
) -> None:
    diary = Diary()
    delivery = NotedDelivery(diary, make_envelope(meetings=meetings))
    found = Running(owner="other:1", attempt=1, same_generation=True, poison=0)
    await settlement_of(diary).meet_live_owner(delivery, found, age_s)
    assert diary.steps == ["publish", "ack"]
    assert diary.delays == [delay_s]
    assert diary.published[0].generation == delivery.envelope.generation
    assert diary.published[0].meetings == meetings + 1


@pytest.mark.parametrize("parks", [True, False])
async def test_one_that_ended_before_it_was_parked_keeps_no_turn(*, parks: bool) -> None:
    diary = Diary()
    diary.parks = parks
    await settlement_of(diary).park_until(NotedDelivery(diary), 4e9, "rpm of tenant t")
    assert diary.steps == ["publish", "park the record", *([] if parks else ["give up"]), "ack"]
