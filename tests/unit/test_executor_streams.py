"""A streamed request to its settlement: another attempt only where nothing was shown."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from broker.claims import Run
from broker.scheduling.retry import Failure
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from tests.fakes.envelopes import make_envelope
from tests.unit.test_executor import GOOD, Stage, failed, some_turns
from workers.backends.port import Answer, Call, CallFailed, Sink

STREAMED = Answer(200, "text/event-stream", b"data: a\n\n")


class Streaming(Stage):
    """Each call gives the next of `events` to the sink before its answer."""

    def __init__(
        self, *events: list[bytes], answers: list[Answer | CallFailed], claim: Run
    ) -> None:
        super().__init__(claim, answers=answers)
        self.given = list(events)

    async def call(self, url: str, call: Call) -> Answer:
        raise AssertionError(url)

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        for event in self.given.pop(0):
            await sink(event)
            await some_turns()
        return await super().call(url, call)

    async def log(self, envelope: Envelope) -> list[tuple[int, bytes]]:
        chunks = await self.events.read(envelope.id, -1)
        return [(chunk.number, chunk.data) for chunk in chunks]


def asking(**changes: Any) -> Envelope:
    return make_envelope(model_span=(10, 13), stream=True, **changes)


async def test_a_stream_is_logged_committed_and_then_its_log_sealed() -> None:
    stage, envelope = Streaming([b"a", b"b"], answers=[STREAMED], claim=Run(1, 0)), asking()
    before = time.time()
    await stage.run(envelope)
    assert stage.steps == ["finish completed", "free", "ack"]
    assert await stage.log(envelope) == [(0, b"a"), (1, b"b")]
    await some_turns()
    assert stage.events._sealed[envelope.id].dropped_at < before + 600


async def test_a_failure_before_anything_was_shown_goes_to_the_other_replica() -> None:
    answers: list[Answer | CallFailed] = [failed(Failure.BUSY, 503), STREAMED]
    stage, envelope = Streaming([], [b"a"], answers=answers, claim=Run(1, 0)), asking()
    await stage.run(envelope)
    assert stage.steps == ["next attempt", "finish completed", "free", "ack"]
    assert await stage.log(envelope) == [(0, b"a")]
    assert stage.results[0].first_event == 0


@pytest.mark.parametrize("failure", [Failure.UNUSABLE, Failure.TIMED_OUT, Failure.UNREACHABLE])
async def test_a_failure_in_the_middle_ends_the_request_at_once(failure: Failure) -> None:
    stage, envelope = Streaming([b"a"], answers=[failed(failure)], claim=Run(1, 0)), asking()
    await stage.run(envelope)
    assert len(stage.calls) == 1
    assert stage.steps == ["finish stream_interrupted", "free", "ack"]
    assert stage.results[0].message == "the backend said no"
    assert stage.made[0] is not None
    assert stage.made[0].outcome == failure.value


async def test_with_restart_another_replica_begins_the_answer_anew() -> None:
    answers: list[Answer | CallFailed] = [failed(Failure.UNUSABLE), STREAMED]
    stage = Streaming([b"a", b"b"], [b"c"], answers=answers, claim=Run(1, 0))
    envelope = asking(restart=True)
    await stage.run(envelope)
    assert stage.steps == ["next attempt", "finish completed", "free", "ack"]
    assert await stage.log(envelope) == [(0, b"a"), (1, b"b"), (2, b""), (3, b"c")]
    assert [call.first_event for _, call in stage.calls] == [0, 3]
    assert stage.results[0].first_event == 3


@pytest.mark.parametrize("restart", [False, True])
async def test_after_a_lost_attempt_that_showed_something(restart: bool) -> None:
    stage = Streaming([b"c"], answers=[STREAMED], claim=Run(2, 1))
    envelope = asking(restart=restart)
    await stage.events.begin(envelope.id, 1, restart=restart, deadline=envelope.deadline)
    await stage.events.append(envelope.id, 1, 0, [b"a"])
    await stage.run(envelope)
    if restart:
        assert stage.steps == ["finish completed", "free", "ack"]
        assert await stage.log(envelope) == [(0, b"a"), (1, b""), (2, b"c")]
    else:
        assert not stage.calls
        assert stage.steps == ["finish stream_interrupted", "free", "ack"]
        assert await stage.log(envelope) == [(0, b"a")]


async def test_a_deadline_in_the_middle_is_told_as_such() -> None:
    envelope = asking(deadline=time.time() + 0.1)
    stage = Streaming([b"a"], answers=[failed(Failure.TIMED_OUT)], claim=Run(1, 0))
    original = stage.stream

    async def late(url: str, call: Call, sink: Sink) -> Answer:
        try:
            return await original(url, call, sink)
        finally:
            await asyncio.sleep(max(0.0, envelope.deadline - time.time()) + 0.01)

    stage.stream = late  # type: ignore[method-assign]  # because it is late
    await stage.run(envelope)
    assert stage.steps == ["finish expired", "free", "ack"]


async def test_a_cancel_in_the_middle_drops_the_call_and_keeps_what_was_shown() -> None:
    stage, envelope = Streaming(answers=[GOOD], claim=Run(1, 0)), asking()
    shown, dropped = asyncio.Event(), asyncio.Event()

    async def stalls(url: str, call: Call, sink: Sink) -> Answer:
        await sink(b"a")
        shown.set()
        try:
            await asyncio.sleep(60)
        finally:
            dropped.set()
        return GOOD

    stage.stream = stalls  # type: ignore[method-assign]  # because it never answers
    running = asyncio.create_task(stage.run(envelope))
    await shown.wait()
    await some_turns()
    stage.inflight.abort(envelope.id)
    await running
    assert dropped.is_set()
    assert stage.steps == ["finish cancelled", "free", "ack"]
    assert await stage.log(envelope) == [(0, b"a")]


async def test_a_newer_attempt_that_writes_takes_the_request_away() -> None:
    stage, envelope = Streaming(answers=[STREAMED], claim=Run(1, 0)), asking(restart=True)

    async def overtaken(url: str, call: Call, sink: Sink) -> Answer:
        await sink(b"a")
        await some_turns()
        await stage.events.begin(envelope.id, 2, restart=True, deadline=envelope.deadline)
        await sink(b"b")
        await asyncio.sleep(60)
        return GOOD

    async def runs_elsewhere(ids: list[str]) -> dict[str, Status]:
        return dict.fromkeys(ids, Status.IN_PROGRESS)

    stage.stream = overtaken  # type: ignore[method-assign]  # because another attempt begins in it
    stage.statuses = runs_elsewhere  # type: ignore[method-assign]  # because it has not ended
    await asyncio.wait_for(stage.run(envelope), 10)
    assert stage.steps == ["requeue the record", "free", "requeue"]
    assert await stage.log(envelope) == [(0, b"a"), (1, b"")]
