"""The backend adapter against the fake backend: each endpoint's answer, JSON or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from broker.scheduling.retry import Failure
from schemas.config import BackendConfig
from schemas.result import Usage
from tests.fakes.backend import Backend as FakeBackend
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

    async def call(self, endpoint: str, body: object, kind: str = "application/json") -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._backend.call(self.fake.url, Call("req_x", 1, endpoint, raw, kind, 5.0))


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


async def test_a_refusal_keeps_its_bytes_at_every_endpoint(stage: Stage) -> None:
    with pytest.raises(CallFailed) as refused:
        await stage.call("/v1/rerank", {"model": "status-422"})
    assert refused.value.answer is not None
    assert b"123456789012345678901234567890" in refused.value.answer.body
