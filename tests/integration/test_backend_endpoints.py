"""The backend adapter against the fake backend: each endpoint's answer, JSON or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from broker.scheduling.retry import Failure
from schemas.config import BackendConfig
from schemas.result import Usage
from tests.fakes.backend import Backend as FakeBackend
from tests.servers.ports import reserve
from workers.backends.openai import OpenAIBackend, open_session
from workers.backends.port import Answer, Call, CallFailed

FORM = (
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n\xff\x00\r\n'
    b"--B--\r\n"
)


class Stage:
    """A backend adapter in front of the fake backend."""

    def __init__(self, fake: FakeBackend, backend: OpenAIBackend) -> None:
        self.fake = fake
        self._backend = backend

    async def call(
        self, endpoint: str, body: object, kind: str = "application/json", url: str = ""
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        call = Call("req_x", 1, endpoint, raw, kind, 5.0)
        return await self._backend.call(url or self.fake.url, call)

    async def failure_at(self, url: str) -> str:
        """Return the words of the failure to reach what is at `url`."""
        with pytest.raises(CallFailed) as failed:
            await self.call("/v1/chat/completions", {"model": "echo"}, url=url)
        assert failed.value.failure is Failure.UNREACHABLE
        return failed.value.message


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeBackend() as fake, open_session() as session:
        yield Stage(fake, OpenAIBackend(BackendConfig(urls=[fake.url]), session))


async def test_audio_passes_as_it_is(stage: Stage) -> None:
    answer = await stage.call("/v1/audio/speech", {"model": "tts", "input": "hello"})
    assert (answer.status_code, answer.content_type) == (200, "audio/mpeg")
    assert answer.body.startswith(b"ID3\x04\x00\xff\xfb")
    assert answer.usage is None


async def test_a_ranking_tells_its_usage(stage: Stage) -> None:
    asked = {"model": "ranker", "query": "q", "documents": ["a", "b"]}
    answer = await stage.call("/v1/rerank", asked)
    assert len(json.loads(answer.body)["results"]) == 2
    assert answer.usage == Usage(2, 0, 2)


async def test_a_form_reaches_the_backend_with_its_boundary(stage: Stage) -> None:
    kind = "multipart/form-data; boundary=B"
    answer = await stage.call("/v1/audio/transcriptions", FORM, kind)
    assert json.loads(answer.body)["model"] == "whisper"
    assert stage.fake.ledger.calls[0].model == "whisper"


@pytest.mark.parametrize("model", ["html", "empty", "nan"])
async def test_what_is_no_json_passes_a_further_endpoint(stage: Stage, model: str) -> None:
    answer = await stage.call("/v1/rerank", {"model": model})
    assert answer.status_code == 200
    assert answer.usage is None


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions", "embeddings"])
@pytest.mark.parametrize("model", ["html", "empty", "nan"])
async def test_what_is_no_json_is_unusable_at_a_json_endpoint(
    stage: Stage, endpoint: str, model: str
) -> None:
    with pytest.raises(CallFailed) as refused:
        await stage.call(f"/v1/{endpoint}", {"model": model})
    assert refused.value.failure is Failure.UNUSABLE


async def test_a_busy_backend_tells_when_to_come_back_and_others_do_not(stage: Stage) -> None:
    told = {}
    for model in ("status-429", "status-503", "status-500", "status-404"):
        with pytest.raises(CallFailed) as refused:
            await stage.call("/v1/chat/completions", {"model": model})
        told[model] = (refused.value.failure, refused.value.retry_after_s)
    assert told == {
        "status-429": (Failure.BUSY, 1.0),
        "status-503": (Failure.BUSY, None),
        "status-500": (Failure.ERROR, None),
        "status-404": (Failure.REFUSED, None),
    }


async def test_a_refusal_keeps_its_bytes_at_every_endpoint(stage: Stage) -> None:
    with pytest.raises(CallFailed) as refused:
        await stage.call("/v1/rerank", {"model": "status-422"})
    assert refused.value.answer is not None
    assert b"123456789012345678901234567890" in refused.value.answer.body


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:{port}/v1", "no connection: Connection refused"),
        ("http://gpu.invalid:{port}/v1", "its name is not known to the resolver"),
    ],
)
async def test_a_failure_tells_no_address(stage: Stage, url: str, told: str) -> None:
    """Its words end up in the request, which a tenant reads."""
    assert await stage.failure_at(url.format(port=reserve())) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "the connection was closed before an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP that we understand"),
    ],
)
async def test_what_hangs_up_or_speaks_no_http_is_told_without_its_address(
    stage: Stage, said: bytes, told: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await stage.failure_at(f"http://127.0.0.1:{port}/v1") == told
