"""A worker on each engine streams: into the event log, to the result, and through every failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from broker.claims import Run
from broker.engine import open_engine
from broker.ports import Engine
from broker.ports.events import LOST_GAP, Chunk
from schemas.body import read_object
from schemas.config import Config, ServerConfig
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.result import Usage
from tests.fakes.backend import Backend
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_slot
from tests.integration.test_worker_reload import CHAT, on, submit, until, working
from workers.backends.sse import data_of
from workers.service import WorkerService

REAL = pytest.param("real", marks=pytest.mark.realservers)

INTERRUPTED = (Status.FAILED, "stream_interrupted")
UNUSABLE = (Status.FAILED, "backend_invalid_response")


@asynccontextmanager
async def serving(
    engine: Engine, fake: Backend, model: str, attempts: int = 3
) -> AsyncIterator[WorkerService]:
    """Serve the fake's `model` as `m`, on two replicas that are the same process."""
    urls = [fake.url, fake.url.replace("127.0.0.1", "localhost")]
    models = {"m": {**on("b", model=model), "retry": {"max_attempts": attempts}}}
    backends = {"b": {"urls": urls, "timeout_s": 20}}
    config = {"backends": backends, "models": models, "server": {"drain_s": 0}}
    async with working(engine, Config.model_validate(config)) as worker:
        yield worker


def streaming(**changes: Any) -> Envelope:
    body = b'{"model": "m", "stream": true, "messages": []}'
    span = read_object(body).spans["model"]
    whole = {"endpoint": CHAT, "body": body, "model_span": span, "stream": True, **changes}
    return make_envelope(**whole)


async def ended(engine: Engine, request_id: str) -> Record:
    record = await engine.store.wait(request_id, 30)
    assert record is not None
    assert record.terminal, record
    return record


def how(record: Record) -> tuple[Status, str | None]:
    return record.status, record.result.code if record.result is not None else None


async def log_of(engine: Engine, request_id: str) -> list[Chunk]:
    found: list[Chunk] = []
    while page := await engine.events.read(request_id, found[-1].number if found else -1):
        found += page
    return found


async def shown(engine: Engine, request_id: str, text: str) -> None:
    """Return once `text` is in the log."""
    seen: list[Chunk] = []
    async with asyncio.timeout(30), engine.events.follow(request_id) as follower:
        while text not in text_of(seen):
            seen += await follower.after(seen[-1].number if seen else -1, 30)


def text_of(chunks: Sequence[Chunk]) -> str:
    """Return the text behind the last restart."""
    text = ""
    for chunk in chunks:
        data = data_of(chunk.data)
        if not chunk.data:
            text = ""
        elif data != b"[DONE]":
            text += json.loads(data)["choices"][0]["delta"].get("content", "")
    return text


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


def body_of(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(chunk.data + b"\n\n" for chunk in chunks)


async def test_a_stream_is_in_the_log_as_it_comes_and_then_in_the_result(engine: Engine) -> None:
    async with Backend() as fake, serving(engine, fake, "words-100-20"):
        request_id = await submit(engine, streaming())
        await shown(engine, request_id, words(3))
        # It is read while the backend still speaks.
        assert fake.ledger.open == 1
        record = await ended(engine, request_id)
    chunks = await log_of(engine, request_id)
    assert [chunk.number for chunk in chunks] == list(range(102))
    assert text_of(chunks) == words(100)
    assert chunks[-1].data == b"data: [DONE]"
    assert record.status is Status.COMPLETED
    result = record.result
    assert result is not None
    assert (result.status_code, result.content_type) == (200, "text/event-stream")
    assert (result.body, result.first_event) == (body_of(chunks), 0)
    assert result.usage == Usage(0, 100, 100)


@pytest.mark.parametrize(
    ("model", "end", "said"),
    [
        ("stream-dies-4", INTERRUPTED, words(4)),
        ("stream-error-4", INTERRUPTED, words(4)),
        ("stream-error-4-400", INTERRUPTED, words(4)),
        ("stream-json", UNUSABLE, ""),
        ("stream-gzip", UNUSABLE, ""),
        ("stream-dies-0", UNUSABLE, ""),
        ("stream-error-0-400", (Status.FAILED, "backend_failed"), ""),
        ("status-422", (Status.FAILED, "backend_failed"), ""),
        ("status-502", (Status.FAILED, "attempts_exhausted"), ""),
    ],
)
async def test_each_failure_ends_the_request_as_its_code(
    engine: Engine, model: str, end: tuple[Status, str], said: str
) -> None:
    async with Backend() as fake, serving(engine, fake, model, attempts=1):
        request_id = await submit(engine, streaming())
        record = await ended(engine, request_id)
    assert how(record) == end
    assert len(fake.ledger.calls) == 1
    assert said.startswith(text_of(await log_of(engine, request_id)))


@pytest.mark.parametrize("model", ["stream-no-done", "stream-junk", "stream-huge", "stream-long"])
async def test_what_breaks_off_after_its_words_is_never_taken_for_whole(
    engine: Engine, model: str
) -> None:
    """Whether a word was shown before it broke is a matter of milliseconds here."""
    async with Backend() as fake, serving(engine, fake, model, attempts=1):
        record = await ended(engine, await submit(engine, streaming()))
    assert how(record) in (INTERRUPTED, UNUSABLE)


async def test_a_stream_that_stalls_is_interrupted_when_its_time_is_over(engine: Engine) -> None:
    models = {"m": on("b", model="stream-stalls-2")}
    async with Backend() as fake:
        config = {"backends": {"b": {"urls": [fake.url], "timeout_s": 1}}, "models": models}
        async with working(engine, Config.model_validate(config)):
            record = await ended(engine, await submit(engine, streaming()))
    assert how(record) == INTERRUPTED
    assert [each.outcome for each in record.history] == ["timed_out"]


async def test_what_was_not_shown_is_tried_again_without_a_word(engine: Engine) -> None:
    async with Backend() as fake, serving(engine, fake, "stream-dies-once-0"):
        request_id = await submit(engine, streaming())
        record = await ended(engine, request_id)
    assert (record.status, len(fake.ledger.calls)) == (Status.COMPLETED, 2)
    chunks = await log_of(engine, request_id)
    assert (chunks[0].number, text_of(chunks)) == (0, words(20))
    assert all(chunk.data for chunk in chunks)


async def test_with_restart_the_answer_is_begun_anew_and_numbers_go_on(engine: Engine) -> None:
    async with Backend() as fake, serving(engine, fake, "stream-dies-once-5"):
        request_id = await submit(engine, streaming(restart=True))
        record = await ended(engine, request_id)
    chunks = await log_of(engine, request_id)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    (marker,) = [chunk.number for chunk in chunks if not chunk.data]
    assert text_of(chunks[:marker]) == words(5)
    assert text_of(chunks) == words(20)
    result = record.result
    assert result is not None
    assert (result.first_event, result.body) == (marker + 1, body_of(chunks[marker + 1 :]))
    assert [each.outcome for each in record.history] == ["unusable", "ok"]


async def test_a_cancel_in_the_middle_drops_the_call(engine: Engine) -> None:
    async with Backend() as fake, serving(engine, fake, "words-2000-10"):
        request_id = await submit(engine, streaming())
        await shown(engine, request_id, words(2))
        await engine.store.cancel(request_id)
        await until(lambda: fake.ledger.open == 0)
        assert fake.ledger.calls[0].aborted
        assert how(await ended(engine, request_id)) == (Status.CANCELLED, "cancelled")
        before = await log_of(engine, request_id)
        await asyncio.sleep(0.1)
        assert await log_of(engine, request_id) == before


@pytest.mark.parametrize("restart", [False, True])
async def test_what_a_worker_hands_back_in_the_middle_is_never_spliced(
    engine: Engine, restart: bool
) -> None:
    async with Backend() as fake:
        async with serving(engine, fake, "words-2000-10") as worker:
            request_id = await submit(engine, streaming(restart=restart))
            await shown(engine, request_id, words(2))
            await worker.drain()
        async with serving(engine, fake, "words-6-0"):
            record = await ended(engine, request_id)
    chunks = await log_of(engine, request_id)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert fake.ledger.calls[0].aborted
    if restart:
        assert record.status is Status.COMPLETED
        assert sum(not chunk.data for chunk in chunks) == 1
        assert text_of(chunks) == words(6)
    else:
        assert how(record) == INTERRUPTED
        assert {chunk.attempt for chunk in chunks} == {1}
        assert len(fake.ledger.calls) == 1


@pytest.mark.parametrize("server", [REAL], indirect=True)
@pytest.mark.parametrize("restart", [False, True])
async def test_the_next_attempt_after_a_lost_one_never_splices(
    engine: Engine, restart: bool
) -> None:
    """The lost one has claimed the request and shown two events; nobody runs it any more."""
    envelope = streaming(restart=restart)
    await engine.store.create(envelope)
    assert await engine.store.claim(envelope, make_slot("b")) == Run(attempt=1, poison=0)
    await engine.events.begin(envelope.id, 1, restart=restart, deadline=envelope.deadline)
    lost = [b'data: {"choices": [{"delta": {"content": "lost "}}]}'] * 2
    assert await engine.events.append(envelope.id, 1, 0, lost)
    await engine.queue.publish(envelope)
    async with Backend() as fake, serving(engine, fake, "words-6-0"):
        record = await ended(engine, envelope.id)
    chunks = await log_of(engine, envelope.id)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.data for chunk in chunks[:2]] == lost
    if restart:
        assert record.status is Status.COMPLETED
        assert chunks[2] == Chunk(2, 2, b"")
        assert text_of(chunks) == words(6)
        assert record.result is not None
        assert record.result.first_event == 3
    else:
        assert how(record) == INTERRUPTED
        assert len(chunks) == 2
        assert not fake.ledger.calls


@pytest.mark.parametrize("restart", [False, True])
async def test_a_lost_log_leaves_a_gap_and_the_request_completes(
    tmp_path: Any, restart: bool
) -> None:
    """The embedded engine's logs end with its process."""
    config = Config(server=ServerConfig(data_dir=str(tmp_path)))
    first, second = open_engine(config), open_engine(config)
    async with Backend() as fake:
        await first.start()
        async with serving(first, fake, "words-2000-10"):
            request_id = await submit(first, streaming(restart=restart))
            await shown(first, request_id, words(2))
        await first.stop()
        await second.start()
        async with serving(second, fake, "words-6-0"):
            record = await ended(second, request_id)
        chunks = await log_of(second, request_id)
        await second.stop()
    assert record.status is Status.COMPLETED
    assert record.result is not None
    assert record.result.first_event >= LOST_GAP
    assert text_of(chunks) == words(6)
    assert [chunk.data == b"" for chunk in chunks][:2] == [restart, False]


async def test_a_log_that_is_lost_in_the_middle_is_begun_again_with_a_gap(engine: Engine) -> None:
    async with Backend() as fake, serving(engine, fake, "words-100-10"):
        request_id = await submit(engine, streaming())
        await shown(engine, request_id, words(2))
        await _forget_log(engine, request_id)
        record = await ended(engine, request_id)
    chunks = await log_of(engine, request_id)
    assert record.status is Status.COMPLETED
    assert record.attempt == 2
    assert chunks[0].number == LOST_GAP
    assert text_of(chunks) == words(100)


async def _forget_log(engine: Engine, request_id: str) -> None:
    events: Any = engine.events
    if engine.name == "embedded":
        del events._open[request_id]
        return
    tag, keys = events._keys.tag(request_id), events._keys.of_log(request_id)
    await events._batcher.submit(tag, "DEL", *keys[:2])


async def test_many_streams_at_once_are_each_whole(engine: Engine) -> None:
    async with Backend() as fake, serving(engine, fake, "words-40-5"):
        ids = [await submit(engine, streaming()) for _ in range(40)]
        records = [await ended(engine, request_id) for request_id in ids]
    assert {how(record) for record in records} == {(Status.COMPLETED, None)}
    for record in records:
        chunks = await log_of(engine, record.id)
        assert text_of(chunks) == words(40)
        assert record.result is not None
        assert record.result.body == body_of(chunks)
