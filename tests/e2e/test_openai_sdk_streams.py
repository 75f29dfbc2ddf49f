"""Streams with the unmodified OpenAI SDK, sync and async, against a real Penstock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import openai
import pytest

from tests.fakes.stack import Setup, Stack, backend_process

_MODELS = ("words-5-10", "stream-dies-3", "status-400", "status-500", "slow-6000")
_SAID = "w0 w1 w2 w3 w4 "


@pytest.fixture(scope="module")
def stack(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("sdk-streams")
    with backend_process(directory) as (url, _):
        backends = {"fake": {"urls": [f"{url}/v1"], "concurrency": 8}}
        models = {
            name: {"targets": [{"backend": "fake"}], "retry": {"max_attempts": 1}}
            for name in _MODELS
        }
        with Stack(directory, replace(setup, backends=backends, models=models)) as running:
            yield running
            assert not running.processes[running.roles[0]].tracebacks(), running.logs()


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


def _async(stack: Stack) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="x", max_retries=0)


def test_chat(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="words-5-10", messages=[], stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == _SAID
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks), "nobody has asked for it"


def test_chat_with_its_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="words-5-10", messages=[], stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


def test_the_helper_that_gathers_a_chat(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="words-5-10", messages=[]) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert "content.delta" in kinds
    assert answer.choices[0].message.content == _SAID


def test_completions(client: openai.OpenAI) -> None:
    stream = client.completions.create(model="words-5-10", prompt="hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == _SAID


def test_what_waits_long_is_streamed_all_the_same(client: openai.OpenAI) -> None:
    """Its head is sent with comments, which the SDK passes over."""
    stream = client.chat.completions.create(model="slow-6000", messages=[], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)


@pytest.mark.parametrize(
    ("model", "raised"),
    [("status-400", openai.BadRequestError), ("status-500", openai.InternalServerError)],
)
def test_a_failure_before_the_first_chunk_is_raised_by_the_call(
    client: openai.OpenAI, model: str, raised: type[openai.APIStatusError]
) -> None:
    with pytest.raises(raised):
        client.chat.completions.create(model=model, messages=[], stream=True)


def test_an_unknown_model_is_refused_at_once(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=[], stream=True)


def test_what_breaks_off_is_raised_behind_what_was_shown(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="stream-dies-3", messages=[], stream=True)
    shown = [next(stream).choices[0].delta.content for _ in range(3)]
    assert shown == ["w0 ", "w1 ", "w2 "]
    with pytest.raises(openai.APIError) as raised:
        next(stream)
    assert raised.value.code == "stream_interrupted"
    assert "req_" in raised.value.message


async def test_the_async_client(stack: Stack) -> None:
    async with _async(stack) as client:
        chat = await client.chat.completions.create(model="words-5-10", messages=[], stream=True)
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in chat])
        text = await client.completions.create(model="words-5-10", prompt="hello", stream=True)
        written = "".join([chunk.choices[0].text async for chunk in text])
    assert said == written == _SAID


async def test_the_async_client_is_told_what_breaks_off(stack: Stack) -> None:
    async with _async(stack) as client:
        stream = await client.chat.completions.create(
            model="stream-dies-3", messages=[], stream=True
        )
        with pytest.raises(openai.APIError) as raised:
            [chunk async for chunk in stream]
        assert raised.value.code == "stream_interrupted"
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="status-400", messages=[], stream=True)
