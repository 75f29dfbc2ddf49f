"""One delivery to its settlement: each answer of the claim, and each way a call can go."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker.claims import Claim, Done, Early, Finish, Late, Run, Running
from broker.embedded.events import EmbeddedEvents
from broker.ports import Engine, Reservation
from broker.scheduling.retry import Failure
from broker.scheduling.retry_budget import RetryBudget
from broker.topology import TIERS
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.result import Result, Usage
from tests.fakes.envelopes import make_envelope
from workers.answering import Answering
from workers.backends.port import Answer, Call, CallFailed, Sink
from workers.executor import Executor
from workers.inflight import InFlight, InFlightMap
from workers.routing.replicas import Replicas
from workers.routing.targets import Target
from workers.settlement import Settlement
from workers.slots import Slots
from workers.streaming import Logs
from workers.upstreams import Upstream

ME, OTHER = "me:1", "other:1"
TARGET = Target("b", "their-name")
SLOT = Reservation("b", "me:1:7")
GOOD = Answer(200, "application/json", b"{}")


class Stage:
    """An executor between a scripted store and a scripted backend."""

    def __init__(self, *claims: Claim, answers: list[Answer | CallFailed] | None = None) -> None:
        self.claims = list(claims)
        self.answers = answers if answers is not None else [GOOD]
        self.calls: list[tuple[str, Call]] = []
        self.results: list[Result] = []
        self.steps: list[str] = []
        self.last_beats: dict[str, float | None] = {ME: 0.0}
        self.inflight = InFlightMap()
        self.events = EmbeddedEvents(time.time)
        parts: dict[str, object] = {"store": self, "limits": self, "queue": self, "members": self}
        parts["upkeep"] = SimpleNamespace(on_outbox=lambda _tell: None)
        self.published: list[Envelope] = []
        self.blobs = SimpleNamespace()
        parts["blobs"] = self.blobs
        engine = cast(Engine, SimpleNamespace(owner=ME, events=self.events, **parts))
        replicas = Replicas("b")
        replicas.configure(["u1", "u2"], 8)
        self.upstreams = {"b": Upstream("b", self, replicas, RetryBudget(), timeout_s=5)}
        self.ends: list[tuple[str, Usage | None, float]] = []
        self.made: list[Attempt | None] = []
        slots = Slots(engine.limits, ME)
        settlement = Settlement(engine, slots, Answering(engine, 60.0), 60.0)
        logs = Logs(self.events)
        self.executor = Executor(engine, settlement, slots, self.inflight, self.upstreams, logs)

    async def run(
        self, envelope: Envelope | None = None, max_attempts: int = 3, target: Target = TARGET
    ) -> None:
        delivery = NotedDelivery(envelope or make_envelope(model_span=(10, 13)), self.steps)
        await self.executor.execute(delivery, SLOT, target, max_attempts, self.on_end)

    def change(self, **changes: Any) -> None:
        self.upstreams["b"] = replace(self.upstreams["b"], **changes)

    def on_end(self, envelope: Envelope, usage: Usage | None, service_s: float) -> None:
        self.ends.append((envelope.id, usage, service_s))

    async def claim(self, _envelope: Envelope, _reservation: Reservation) -> Claim:
        return self.claims.pop(0)

    async def take_over(self, _envelope: Envelope, owner: str, _slot: Reservation) -> Claim:
        self.steps.append(f"take over from {owner}")
        return self.claims.pop(0)

    async def next_attempt(
        self, _id: str, _attempt: int, _slot: Reservation, made: Attempt | None
    ) -> bool:
        self.made.append(made)
        self.steps.append("next attempt")
        return True

    async def finish(
        self,
        _envelope: Envelope,
        result: Result,
        *_rest: Any,
        made: Attempt | None = None,
        **_options: Any,
    ) -> Finish:
        self.made.append(made)
        self.results.append(result)
        self.steps.append(f"finish {result.code or result.status}")
        return Finish(won=True, result=result)

    async def requeue(self, _envelope: Envelope, _attempt: int, made: Attempt | None) -> bool:
        self.made.append(made)
        self.steps.append("requeue the record")
        return True

    async def statuses(self, ids: list[str]) -> dict[str, Status]:
        return dict.fromkeys(ids, Status.CANCELLED)

    async def publish_later(self, envelope: Envelope, delay_s: float) -> None:
        self.published.append(envelope)
        # The jitter lengthens a delay by up to a quarter.
        tier = max(tier.delay_s for tier in TIERS if tier.delay_s <= max(1, delay_s))
        self.steps.append(f"publish generation {envelope.generation} in {tier:g} s")

    async def settle(self, _spent: object) -> None:
        self.steps.append("free")

    refund = settle

    async def get(self, _id: str) -> None:
        """Know no record of a request that was not claimed."""

    async def give_up(self, _ids: object) -> None:
        raise AssertionError("nothing here has a turn")

    async def last_beat(self, owner: str) -> float | None:
        return self.last_beats.get(owner)

    async def call(self, url: str, call: Call) -> Answer:
        self.calls.append((url, call))
        answer = self.answers.pop(0)
        if isinstance(answer, CallFailed):
            raise answer
        return answer

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        return await self.call(url, call)

    async def models(self, url: str) -> list[str]:
        raise AssertionError(url)


class NotedDelivery:
    """A delivery that writes its settlement into the stage's steps."""

    def __init__(self, envelope: Envelope, steps: list[str]) -> None:
        self.envelope = envelope
        self._steps = steps

    async def ack(self) -> None:
        self._steps.append("ack")

    async def requeue(self) -> None:
        self._steps.append("requeue")


async def some_turns() -> None:
    """Let the loop do whatever it can do without waiting."""
    for _ in range(20):
        await asyncio.sleep(0)


def failed(
    failure: Failure, status: int | None = None, retry_after_s: float | None = None
) -> CallFailed:
    answer = None if status is None else Answer(status, "text/plain", b"no")
    return CallFailed(failure, "the backend said no", answer, retry_after_s)


async def test_a_good_answer_is_committed_with_the_targets_model() -> None:
    stage = Stage(Run(1, 0))
    await stage.run()
    assert stage.steps == ["finish completed", "free", "ack"]
    ((_, call),) = stage.calls
    assert b'"their-name"' in call.body
    assert stage.results[0].backend_model == "their-name"
    assert not len(stage.inflight)


async def test_a_wildcard_target_is_called_by_the_name_that_was_asked() -> None:
    stage = Stage(Run(1, 0))
    body = b'{"model": "llama-3"}'
    envelope = make_envelope(model="llama-*", body=body, model_span=(10, 19))
    await stage.run(envelope, target=Target("b", "meta/llama-*-it"))
    ((_, call),) = stage.calls
    assert call.body == b'{"model": "meta/llama-3-it"}'
    assert stage.results[0].backend_model == "meta/llama-3-it"


@pytest.mark.parametrize(
    ("claim", "steps"),
    [
        (Done(), ["free", "ack"]),
        (Late(3), ["free", "finish expired", "ack"]),
        (Early(1.0), ["free", "ack"]),
        (Running(OTHER, 1, same_generation=True, poison=0), ["free", "ack"]),
        (Running(ME, 1, same_generation=False, poison=0), ["free", "ack"]),
    ],
)
async def test_what_may_not_run_calls_nothing_and_frees_its_slot(
    claim: Claim, steps: list[str]
) -> None:
    stage = Stage(claim)
    stage.last_beats[OTHER] = 0.5
    await stage.run()
    assert not stage.calls
    assert [step for step in stage.steps if not step.startswith("publish")] == steps


async def test_a_dead_owners_request_is_taken_over() -> None:
    stage = Stage(Running(OTHER, 1, same_generation=True, poison=0), Run(2, 1))
    await stage.run()
    assert stage.steps == [f"take over from {OTHER}", "finish completed", "free", "ack"]


async def test_three_deaths_are_poison_and_cost_no_call() -> None:
    stage = Stage(Run(4, 3))
    await stage.run()
    assert not stage.calls
    assert stage.steps == ["finish poisoned", "free", "ack"]


async def test_a_redelivery_of_what_runs_here_is_adopted() -> None:
    stage = Stage(Running(ME, 1, same_generation=True, poison=0))
    envelope = make_envelope()
    running = InFlight(envelope, SLOT, [])
    stage.inflight.add(running)
    await stage.run(envelope)
    assert len(running.deliveries) == 1
    assert stage.steps == ["free"]


async def test_a_redelivery_of_what_is_just_settled_goes_back() -> None:
    stage = Stage(Running(ME, 1, same_generation=True, poison=0))
    envelope = make_envelope()
    running = InFlight(envelope, SLOT, [])
    running.settle()
    stage.inflight.add(running)
    await stage.run(envelope)
    assert stage.steps == ["free", "requeue"]


async def test_a_failure_goes_to_the_other_replica_and_then_to_the_tier() -> None:
    stage = Stage(Run(1, 0), answers=[failed(Failure.BUSY, 500), failed(Failure.BUSY, 500)])
    await stage.run()
    assert {url for url, _ in stage.calls} == {"u1", "u2"}
    assert [call.attempt for _, call in stage.calls] == [1, 2]
    assert stage.steps == [
        "next attempt",
        "free",
        "publish generation 1 in 5 s",
        "requeue the record",
        "ack",
    ]


async def test_the_last_failure_is_a_dead_letter_with_the_backends_words() -> None:
    stage = Stage(Run(3, 0), answers=[failed(Failure.BUSY, 503)])
    await stage.run()
    assert stage.steps == ["finish attempts_exhausted", "free", "ack"]
    assert (stage.results[0].status_code, stage.results[0].body) == (503, b"no")


@pytest.mark.parametrize(("attempt", "ends"), [(1, False), (3, True)])
async def test_a_bug_of_ours_costs_an_attempt_and_keeps_nothing(attempt: int, ends: bool) -> None:
    stage = Stage(Run(attempt, 0), answers=[])  # the scripted backend raises IndexError
    await stage.run()
    if ends:
        assert stage.steps == ["finish attempts_exhausted", "free", "ack"]
    else:
        again = ["free", "publish generation 1 in 5 s", "requeue the record", "ack"]
        assert stage.steps == again
    assert not len(stage.inflight)


async def test_a_bug_before_the_claim_gives_the_delivery_back() -> None:
    stage = Stage()  # the scripted store raises IndexError
    await stage.run()
    assert stage.steps == ["free", "requeue"]


async def test_a_passed_deadline_costs_no_call() -> None:
    stage = Stage(Run(1, 0))
    await stage.run(make_envelope(accepted_at=1.0, deadline=2.0))
    assert not stage.calls
    assert stage.steps == ["finish expired", "free", "ack"]


async def test_a_deadline_that_passes_during_a_call_costs_no_second_one() -> None:
    stage = Stage(Run(1, 0))
    envelope = make_envelope(deadline=time.time() + 0.05)

    async def fail_late(_url: str, _call: Call) -> Answer:
        stage.steps.append("call")
        await asyncio.sleep(envelope.deadline - time.time() + 0.01)
        raise failed(Failure.ERROR, 500)

    stage.call = fail_late  # type: ignore[method-assign,assignment]  # because it is late
    await stage.run(envelope)
    assert stage.steps == ["call", "finish expired", "free", "ack"]


async def test_an_aborted_request_whose_call_has_not_begun_is_not_called() -> None:
    stage = Stage(Run(1, 0), answers=[failed(Failure.ERROR, 500)])
    envelope = make_envelope()
    original = stage.next_attempt

    async def cancelled_meanwhile(*arguments: Any) -> bool:
        stage.inflight.abort(envelope.id)
        return await original(*arguments)

    stage.next_attempt = cancelled_meanwhile  # type: ignore[assignment,method-assign]  # because it is planted
    await stage.run(envelope)
    assert len(stage.calls) == 1
    assert stage.steps[-3:] == ["finish cancelled", "free", "ack"]


async def test_a_metered_backend_s_second_try_is_reserved_anew() -> None:
    stage = Stage(Run(1, 0), answers=[failed(Failure.ERROR, 500)])
    stage.change(metered=True)
    await stage.run()
    assert len(stage.calls) == 1
    assert "publish generation 1 in 1 s" in stage.steps


async def test_beyond_the_budget_a_retry_waits_longer_and_is_not_dropped() -> None:
    stage = Stage(Run(1, 0), answers=[failed(Failure.ERROR, 500)])
    budget = RetryBudget()
    while budget.holds(time.monotonic()):
        budget.retried(time.monotonic())
    stage.change(budget=budget)
    await stage.run()
    assert len(stage.calls) == 1
    assert "publish generation 1 in 30 s" in stage.steps


async def test_what_the_backend_asks_for_is_waited_for_and_its_replica_left_alone() -> None:
    stage = Stage(Run(1, 0), answers=[failed(Failure.BUSY, 429, 45)])
    replicas = Replicas("b")
    replicas.configure(["u1"], 8)
    stage.change(replicas=replicas)
    await stage.run()
    assert "publish generation 1 in 30 s" in stage.steps
    assert replicas.room == 0


@pytest.mark.parametrize("claim", [Run(1, 0), Done()])
async def test_room_that_was_kept_is_given_back_with_a_call_and_without(claim: Claim) -> None:
    stage = Stage(claim)
    replicas = stage.upstreams["b"].replicas
    whole = replicas.room
    replicas.expect(SLOT.id)
    await stage.run()
    assert replicas.room == whole


async def test_a_call_waits_while_no_replica_can_take_one() -> None:
    stage = Stage(Run(1, 0))
    replicas = Replicas("b")
    replicas.configure(["u1"], 1)
    stage.change(replicas=replicas)
    with replicas.calling("u1"):
        running = asyncio.create_task(stage.run())
        await some_turns()
        assert len(stage.inflight)
        assert not stage.calls
    await running
    assert stage.steps == ["finish completed", "free", "ack"]


async def test_one_that_waits_for_a_replica_can_be_cancelled() -> None:
    stage = Stage(Run(1, 0))
    replicas = Replicas("b")
    replicas.configure(["u1"], 1)
    stage.change(replicas=replicas)
    envelope = make_envelope()
    with replicas.calling("u1"):
        running = asyncio.create_task(stage.run(envelope))
        await some_turns()
        assert len(stage.inflight)
        stage.inflight.abort(envelope.id)
        await running
    assert not stage.calls
    assert stage.steps == ["finish cancelled", "free", "ack"]


async def test_every_failed_attempt_is_told_and_a_first_success_is_not() -> None:
    stage = Stage(Run(1, 0))
    await stage.run()
    assert stage.made == [None]

    stage = Stage(Run(1, 0), answers=[failed(Failure.BUSY, 503), GOOD])
    began = time.time()
    await stage.run()
    first, second = stage.made
    assert first is not None
    assert second is not None
    assert (first.number, first.backend, first.outcome) == (1, "b", "busy")
    assert (first.status_code, first.message) == (503, "the backend said no")
    assert (second.number, second.outcome, second.status_code) == (2, "ok", 200)
    assert began <= first.started_at <= first.ended_at <= second.started_at <= second.ended_at


async def test_the_end_of_a_run_is_told_once_with_what_it_has_used() -> None:
    usage = Usage(3, 4, 7)
    stage = Stage(Run(1, 0), answers=[Answer(200, "application/json", b"{}", usage)])
    envelope = make_envelope()
    await stage.run(envelope)
    ((told, used, service_s),) = stage.ends
    assert (told, used) == (envelope.id, usage)
    assert service_s > 0


@pytest.mark.parametrize("claims", [[Done()], [Run(4, 3)], []])
async def test_the_end_of_one_that_was_not_called_is_told_without_any_time(
    claims: list[Claim],
) -> None:
    stage = Stage(*claims)
    await stage.run()
    ((_, used, service_s),) = stage.ends
    assert (used, service_s) == (None, 0.0)


async def test_an_aborted_call_is_dropped_and_its_slot_freed_after_it() -> None:
    stage = Stage(Run(1, 0))
    called, dropped = asyncio.Event(), asyncio.Event()

    async def hang(_url: str, _call: Call) -> Answer:
        called.set()
        try:
            await asyncio.sleep(60)
        finally:
            dropped.set()
        return GOOD

    stage.call = hang  # type: ignore[method-assign,assignment]  # because it never answers
    envelope = make_envelope()
    running = asyncio.create_task(stage.run(envelope))
    await called.wait()
    stage.inflight.abort(envelope.id)
    await running
    assert dropped.is_set()
    assert stage.steps == ["finish cancelled", "free", "ack"]
    (made,) = stage.made
    assert made is not None
    assert made.outcome == "cancelled"
