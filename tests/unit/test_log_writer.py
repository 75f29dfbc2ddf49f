"""The writer of an event log: one append at a time, nothing lost, nothing shown in vain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from broker.embedded.events import EmbeddedEvents
from broker.lifecycle import drop
from broker.ports import Reservation
from broker.scheduling.retry import Failure
from broker.telemetry import REGISTRY
from schemas.errors import StoreUnavailable
from tests.fakes.envelopes import make_envelope
from tests.unit.test_executor import some_turns
from workers import tapping
from workers.backends.port import Answer, Call, CallFailed, Sink
from workers.inflight import Aborted, InFlight
from workers.streaming import Logs, LogWriter, stream

ANSWER = Answer(200, "text/event-stream", b"")
BROKEN = CallFailed(Failure.UNUSABLE, "the answer was cut short")
MIB = 1024 * 1024
Script = Callable[[Sink], Awaitable[None]]


class GatedEvents(EmbeddedEvents):
    """A log that takes an append only while its gate is open, and fails as told."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0
        self.batches: list[tuple[int, list[bytes]]] = []
        self.appending = self.most_appending = 0

    async def append(
        self, request_id: str, attempt: int, number: int, data: Sequence[bytes]
    ) -> bool:
        self.appending += 1
        self.most_appending = max(self.most_appending, self.appending)
        try:
            await self.gate.wait()
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("away")
            self.batches.append((number, list(data)))
            return await super().append(request_id, attempt, number, data)
        finally:
            self.appending -= 1


class Backend:
    """Plays a script into the sink, and ends well or as told."""

    def __init__(self, script: Script, failure: CallFailed | None = None) -> None:
        self._script = script
        self._failure = failure
        self.closed = False

    async def call(self, url: str, call: Call) -> Answer:
        raise AssertionError(url)

    async def models(self, url: str) -> list[str]:
        raise AssertionError(url)

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        try:
            await self._script(sink)
        finally:
            self.closed = True
        if self._failure is not None:
            raise self._failure
        return ANSWER


class Stage:
    """One run of a request that streams, whose log has begun."""

    def __init__(self, **changes: Any) -> None:
        self.events = GatedEvents()
        self.told: list[tuple[int, list[bytes]]] = []
        self.listens = asyncio.Event()
        self.listens.set()
        self.logs = Logs(self.events, lambda _envelope: self._tap)
        self.run = InFlight(
            make_envelope(stream=True, **changes), Reservation("b", "me:1:7"), [], 1
        )

    async def stream(self, script: Script, failure: CallFailed | None = None) -> Answer:
        return await stream(Backend(script, failure), "u", self.call, await self.writer())

    async def writer(self) -> LogWriter:
        assert await self.logs.begin(self.run)
        writer = self.logs.writer(self.run, "b")
        assert writer is not None
        return writer

    @property
    def heard(self) -> list[tuple[int, bytes]]:
        """Every event that the tap was told of, with its number."""
        return [told for first, data in self.told for told in enumerate(data, first)]

    @property
    def call(self) -> Call:
        return Call(self.run.envelope.id, 1, "/v1/chat/completions", b"", "application/json", 5)

    async def shown(self) -> list[bytes]:
        chunks = await self.events.read(self.run.envelope.id, -1)
        assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
        return [chunk.data for chunk in chunks]

    async def _tap(self, number: int, data: Sequence[bytes]) -> None:
        await self.listens.wait()
        self.told.append((number, list(data)))

    @asynccontextmanager
    async def running(
        self, script: Script, failure: CallFailed | None = None
    ) -> AsyncIterator[asyncio.Task[Answer]]:
        task = asyncio.create_task(self.stream(script, failure))
        await some_turns()
        yield task
        await drop(task)


def giving(*events: bytes, then: asyncio.Event | None = None) -> Script:
    async def script(sink: Sink) -> None:
        for event in events:
            await sink(event)
        if then is not None:
            await then.wait()

    return script


async def test_what_comes_while_an_append_is_under_way_goes_with_the_next_one() -> None:
    stage = Stage()
    stage.events.gate.clear()
    more = asyncio.Event()

    async def script(sink: Sink) -> None:
        await sink(b"a")
        await more.wait()
        for event in (b"b", b"c", b"d"):
            await sink(event)

    async with stage.running(script) as streaming:
        more.set()
        await some_turns()
        assert await stage.shown() == []
        stage.events.gate.set()
        assert await streaming == ANSWER
    assert stage.events.batches == [(0, [b"a"]), (1, [b"b", b"c", b"d"])]
    assert stage.heard == list(enumerate([b"a", b"b", b"c", b"d"]))
    assert stage.events.most_appending == 1
    assert await stage.shown() == [b"a", b"b", b"c", b"d"]


async def test_who_listens_slowly_hears_all_in_order_and_holds_up_nothing() -> None:
    stage = Stage()
    stage.listens.clear()
    more = asyncio.Event()

    async def script(sink: Sink) -> None:
        for event in (b"a", b"b", b"c"):
            await sink(event)
            await some_turns()
        await more.wait()

    async with stage.running(script) as streaming:
        async with asyncio.timeout(10):
            while len(await stage.shown()) < 3:  # noqa: ASYNC110  because nobody signals it
                await asyncio.sleep(0)
        assert not streaming.done()
        stage.listens.set()
        more.set()
        await streaming
    assert stage.heard == [(0, b"a"), (1, b"b"), (2, b"c")]


async def test_who_never_hears_does_not_keep_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapping, "_LAST_S", 0.05)
    stage = Stage()
    stage.listens.clear()
    async with asyncio.timeout(5):
        assert await stage.stream(giving(b"a", b"b")) == ANSWER
    assert await stage.shown() == [b"a", b"b"]
    assert not stage.told


async def test_who_is_too_slow_hears_a_beginning_without_a_gap() -> None:
    stage = Stage()
    stage.listens.clear()

    async def script(sink: Sink) -> None:
        for _ in range(5):
            await sink(b"x" * (MIB // 2))
            await some_turns()
        stage.listens.set()

    await stage.stream(script)
    assert len(await _all(stage)) == 5
    assert [first for first, _ in stage.told] == [0]


async def test_every_event_is_in_the_log_before_the_answer_is_told() -> None:
    stage = Stage()
    stage.events.gate.clear()
    async with stage.running(giving(b"a", b"b")) as streaming:
        assert not streaming.done()
        stage.events.gate.set()
        await streaming
        assert await stage.shown() == [b"a", b"b"]


async def test_a_fast_backend_waits_for_a_log_that_is_behind() -> None:
    stage = Stage()
    stage.events.gate.clear()
    given = 0

    async def script(sink: Sink) -> None:
        nonlocal given
        for _ in range(50):
            await sink(b"x" * (MIB // 10))
            given += 1

    async with stage.running(script) as streaming:
        await some_turns()
        assert given == 10
        stage.events.gate.set()
        await streaming
    assert len(await _all(stage)) == 50


async def _all(stage: Stage) -> list[bytes]:
    found: list[bytes] = []
    while page := await stage.events.read(stage.run.envelope.id, len(found) - 1):
        found += [chunk.data for chunk in page]
    return found


async def test_an_engine_that_is_away_is_waited_for() -> None:
    stage = Stage()
    stage.events.failures = 3
    await stage.stream(giving(b"a", b"b"))
    assert await stage.shown() == [b"a", b"b"]


async def test_a_newer_attempt_ends_the_call_at_once() -> None:
    stage = Stage(restart=True)
    backend = Backend(giving(b"a", then=asyncio.Event()))
    writer = await stage.writer()
    deadline = stage.run.envelope.deadline
    await stage.events.begin(stage.run.envelope.id, 2, restart=True, deadline=deadline)
    async with asyncio.timeout(10):
        with pytest.raises(Aborted):
            await stream(backend, "u", stage.call, writer)
    assert backend.closed
    assert await stage.shown() == []


async def test_nothing_is_shown_of_a_failure_that_came_before_it_was_on_its_way() -> None:
    stage = Stage()
    with pytest.raises(CallFailed):
        await stage.stream(giving(b"a"), BROKEN)
    assert await stage.shown() == []
    assert not stage.run.shown
    assert not stage.told


async def test_what_was_begun_to_be_shown_is_shown_to_its_end() -> None:
    stage = Stage()

    async def script(sink: Sink) -> None:
        await sink(b"a")
        await some_turns()
        await sink(b"b")

    with pytest.raises(CallFailed):
        await stage.stream(script, BROKEN)
    assert await stage.shown() == [b"a", b"b"]
    assert stage.run.shown


async def test_a_dropped_call_leaves_no_task_behind() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    async with stage.running(giving(b"a", then=asyncio.Event())) as streaming:
        assert not streaming.done()
        await drop(streaming)
    assert len(asyncio.all_tasks()) == before


async def test_what_was_shown_by_a_lost_attempt_allows_no_other_call_unless_asked() -> None:
    for restart in (False, True):
        stage = Stage(restart=restart)
        await stage.stream(giving(b"a", b"b"))
        stage.run.attempt = 2
        assert await stage.logs.begin(stage.run) is restart
        assert stage.run.first_event == (3 if restart else 0)


async def test_a_request_that_does_not_stream_has_no_log() -> None:
    stage = Stage()
    stage.run.envelope = make_envelope()
    assert await stage.logs.begin(stage.run)
    assert stage.logs.writer(stage.run, "b") is None
    deadline = stage.run.envelope.deadline
    assert await stage.events.begin(stage.run.envelope.id, 1, restart=False, deadline=deadline) == 0


async def test_the_first_event_and_the_pauses_between_are_measured() -> None:
    stage = Stage(model="timed", accepted_at=time.time() - 20)

    async def script(sink: Sink) -> None:
        await asyncio.sleep(0.1)
        for event in (b"a", b"b", b"c"):
            await sink(event)

    writer = stage.logs.writer(stage.run, "timed")
    assert writer is not None
    await stage.logs.begin(stage.run)
    await stream(Backend(script), "u", stage.call, writer)
    backend, whole = {"backend": "timed"}, {"model": "timed", "priority": "normal"}
    assert _sample("penstock_first_token_seconds_count", whole) == 1
    assert _sample("penstock_first_token_seconds_sum", whole) >= 20.1
    assert _sample("penstock_backend_first_token_seconds_count", backend) == 1
    assert 0.1 <= _sample("penstock_backend_first_token_seconds_sum", backend) < 10
    assert _sample("penstock_inter_token_seconds_count", backend) == 2


def _sample(name: str, labels: dict[str, str]) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None
    return value
