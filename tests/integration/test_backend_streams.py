"""The backend adapter reads streams of the fake backend: whole ones, and every broken one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.scheduling.retry import Failure
from schemas.config import BackendConfig
from schemas.result import Usage
from tests.fakes.backend import Backend as FakeBackend
from workers.backends.openai import OpenAIBackend, open_session
from workers.backends.port import Answer, Call, CallFailed
from workers.backends.sse import data_of

CHAT = "/v1/chat/completions"
ENDPOINTS = [CHAT, "/v1/completions"]


class Stage:
    """A backend adapter in front of the fake backend, and what it has passed on."""

    def __init__(self, fake: FakeBackend, backend: OpenAIBackend) -> None:
        self.fake = fake
        self.passed: list[bytes] = []
        self._backend = backend

    async def stream(
        self, model: str, endpoint: str = CHAT, timeout_s: float = 20.0, **more: Any
    ) -> Answer:
        body = json.dumps({"model": model, "stream": True, **more}).encode()
        call = Call("req_x", 1, endpoint, body, "application/json", timeout_s)
        return await self._backend.stream(self.fake.url, call, self._sink)

    async def failure(self, model: str, endpoint: str = CHAT, timeout_s: float = 20) -> CallFailed:
        with pytest.raises(CallFailed) as failed:
            await self.stream(model, endpoint, timeout_s)
        return failed.value

    @property
    def text(self) -> str:
        return "".join(_text(event) for event in self.passed)

    async def _sink(self, data: bytes) -> None:
        self.passed.append(data)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeBackend() as fake, open_session() as session:
        yield Stage(fake, OpenAIBackend(BackendConfig(urls=[fake.url]), session))


def _text(event: bytes) -> str:
    data = data_of(event)
    if data == b"[DONE]":
        return ""
    choice = json.loads(data)["choices"][0]
    text: str = choice["text"] if "text" in choice else choice["delta"].get("content", "")
    return text


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_stream_is_passed_on_event_by_event(stage: Stage, endpoint: str) -> None:
    answer = await stage.stream("words-5-1", endpoint)
    assert stage.text == "w0 w1 w2 w3 w4 "
    assert stage.passed[-1] == b"data: [DONE]"
    assert len(stage.passed) == 7
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    assert answer.body == b"".join(event + b"\n\n" for event in stage.passed)
    assert answer.usage == Usage(0, 5, 5)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_who_asked_for_the_usage_gets_its_chunk(stage: Stage, endpoint: str) -> None:
    answer = await stage.stream("words-3-0", endpoint, stream_options={"include_usage": True})
    told = json.loads(data_of(stage.passed[-2]))
    assert (told["choices"], told["usage"]["completion_tokens"]) == ([], 3)
    assert answer.usage == Usage(0, 3, 3)


async def test_a_stream_may_be_written_oddly(stage: Stage) -> None:
    answer = await stage.stream("stream-odd")
    nonce = stage.fake.ledger.calls[0].nonce
    assert stage.text == f"echo {nonce}"
    assert all(event.startswith(b"data:") and b"\r" not in event for event in stage.passed)
    assert answer.usage is not None


@pytest.mark.parametrize(
    ("model", "passed", "failure", "told"),
    [
        ("stream-dies-0", 0, Failure.UNUSABLE, "cut short"),
        ("stream-dies-3", 3, Failure.UNUSABLE, "cut short"),
        ("stream-error-2", 2, Failure.UNUSABLE, "the fake breaks off"),
        ("stream-error-2-503", 2, Failure.BUSY, "the fake breaks off"),
        ("stream-error-0-400", 0, Failure.REFUSED, "the fake breaks off"),
        ("stream-no-done", 3, Failure.UNUSABLE, "ended without [DONE]"),
        ("stream-junk", 2, Failure.UNUSABLE, "not valid JSON"),
        ("stream-huge", 2, Failure.UNUSABLE, "over 1048576 bytes"),
        ("stream-long", None, Failure.UNUSABLE, "over 8388608 bytes"),
        ("stream-json", 0, Failure.UNUSABLE, "did not stream but sent 'application/json"),
        ("stream-gzip", 0, Failure.UNUSABLE, "Content-Encoding 'gzip'"),
        ("half", 0, Failure.UNUSABLE, "did not stream"),
        ("html", 0, Failure.UNUSABLE, "did not stream"),
        ("redirect", 0, Failure.UNUSABLE, "does not follow"),
        ("status-429", 0, Failure.BUSY, "answered 429"),
        ("status-422", 0, Failure.REFUSED, "answered 422"),
    ],
)
async def test_a_broken_stream_is_a_named_failure_behind_what_was_whole(
    stage: Stage, model: str, passed: int | None, failure: Failure, told: str
) -> None:
    failed = await stage.failure(model)
    assert failed.failure is failure
    assert told in failed.message
    assert passed is None or len(stage.passed) == passed


async def test_a_stream_that_stalls_ends_with_the_attempt_s_time(stage: Stage) -> None:
    failed = await stage.failure("stream-stalls-2", timeout_s=0.7)
    assert failed.failure is Failure.TIMED_OUT
    assert len(stage.passed) == 2


async def test_an_error_event_with_a_status_keeps_the_backend_s_words(stage: Stage) -> None:
    failed = await stage.failure("stream-error-0-400")
    assert failed.answer is not None
    assert failed.answer.status_code == 400
    assert json.loads(failed.answer.body)["error"]["type"] == "fake_error"


async def test_a_refused_call_tells_when_to_come_back(stage: Stage) -> None:
    assert (await stage.failure("status-429")).retry_after_s == 1.0


async def test_a_dropped_stream_closes_its_connection(stage: Stage) -> None:
    streaming = asyncio.create_task(stage.stream("stream-stalls-1"))
    async with asyncio.timeout(10):
        while not stage.passed:  # noqa: ASYNC110  because nothing here wakes a test
            await asyncio.sleep(0.01)
        streaming.cancel()
        while not stage.fake.ledger.calls[0].aborted:  # noqa: ASYNC110  because see above
            await asyncio.sleep(0.01)


async def test_connections_are_used_again_after_a_stream(stage: Stage) -> None:
    """A stream that was read to its end leaves its connection to the next call."""
    for _ in range(3):
        await stage.stream("echo")
    connector = stage._backend._session.connector
    assert connector is not None
    assert sum(map(len, connector._conns.values())) == 1
