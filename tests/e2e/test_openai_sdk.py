"""The unmodified OpenAI SDK against a real Penstock in front of the fake backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import openai
import pytest

from tests.fakes.stack import Setup, Stack, backend_process


@pytest.fixture(scope="module")
def stack(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("sdk")
    with backend_process(directory, models="echo,status-400,status-500") as (url, _):
        backends = {"fake": {"urls": [f"{url}/v1"], "concurrency": 8}}
        models = {
            name: {"targets": [{"backend": "fake"}], "retry": {"max_attempts": 1}}
            for name in ("echo", "status-400", "status-500")
        }
        with Stack(directory, replace(setup, backends=backends, models=models)) as running:
            yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="echo", messages=[{"role": "user", "content": "Hello"}]
    )
    answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-penstock-backend"] == "fake"
    assert raw.headers["x-penstock-attempts"] == "1"
    assert float(raw.headers["x-penstock-queue-ms"]) >= 0
    assert float(raw.headers["x-penstock-overhead-ms"]) >= 0


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt="Hello", max_tokens=8)
    assert answer.object == "text_completion"
    assert answer.choices[0].text


@pytest.mark.parametrize(
    ("asked", "used"),
    [("priority", "priority"), ("auto", "default"), ("default", "default"), ("flex", "flex")],
)
def test_the_service_tier_that_was_used_is_told(
    client: openai.OpenAI, asked: Literal["priority", "auto", "default", "flex"], used: str
) -> None:
    answer = client.chat.completions.create(model="echo", messages=[], service_tier=asked)
    assert answer.service_tier == used


def test_a_tier_and_a_priority_that_differ_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="echo",
            messages=[],
            service_tier="flex",
            extra_headers={"x-penstock-priority": "high"},
        )
    assert refused.value.param == "service_tier"


def test_an_idempotency_key_of_the_caller(client: openai.OpenAI) -> None:
    answers = [
        client.chat.completions.create(
            model="echo", messages=[], extra_headers={"Idempotency-Key": "sdk-1"}
        )
        for _ in range(2)
    ]
    assert answers[0].id == answers[1].id


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="echo", input=["a", "b"])
    assert len(answer.data) == 2
    assert answer.data[0].embedding


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} >= {"echo", "status-400"}
    assert client.models.retrieve("echo").id == "echo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere")


def test_an_unknown_model_is_404_and_names_what_there_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="echo") as refused:
        client.chat.completions.create(model="gpt-9", messages=[])
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


def test_a_backends_400_is_passed_on(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="status-400", messages=[])


def test_a_failing_backend_is_502_and_not_to_be_retried(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="status-500", messages=[])
    assert refused.value.status_code == 502
    assert refused.value.code == "backend_failed"
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_stream_of_embeddings_is_refused_in_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="stream") as refused:
        client.embeddings.create(model="echo", input="a", extra_body={"stream": True})
    assert refused.value.code == "streaming_unsupported"


async def test_the_async_client(stack: Stack) -> None:
    base_url = f"{stack.url}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0) as client:
        chat = await client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "Hello"}]
        )
        completion = await client.completions.create(model="echo", prompt="Hello")
        embedding = await client.embeddings.create(model="echo", input="a")
        models = [model.id async for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nowhere")
    assert chat.choices[0].message.content
    assert completion.choices[0].text
    assert embedding.data[0].embedding
    assert "echo" in models
