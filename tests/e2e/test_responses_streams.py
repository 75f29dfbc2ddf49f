"""Streams of Responses by the unmodified SDK: live, in the background, and resumed by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent

from tests.e2e.test_responses_sdk import MODELS, TOOL, City
from tests.fakes.stack import Setup, Stack, backend_process

WORDS = "".join(f"w{number} " for number in range(40))
NATIVE = ("echo", "native-fails")


@pytest.fixture(scope="module")
def stack(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("responses")
    served = (*MODELS, "words-40-5", "stream-dies-3")
    with backend_process(directory, models=",".join(served)) as (url, _):
        place = {"urls": [f"{url}/v1"], "concurrency": 8}
        once = {"max_attempts": 1}
        models = {name: {"targets": [{"backend": "fake"}], "retry": once} for name in served} | {
            f"own-{name}": {"targets": [{"backend": "native", "model": name}], "retry": once}
            for name in NATIVE
        }
        backends = {"fake": place, "native": {**place, "native_responses": True}}
        with Stack(directory, replace(setup, backends=backends, models=models)) as running:
            yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


def told(events: Iterable[ResponseStreamEvent], first: int = 0) -> list[Any]:
    """Return the events, whose numbers must follow each other without a gap."""
    seen = list(events)
    assert [event.sequence_number for event in seen] == list(range(first, first + len(seen)))
    return seen


def text_of(events: list[Any]) -> str:
    return "".join(each.delta for each in events if each.type == "response.output_text.delta")


def test_create_with_stream(client: openai.OpenAI) -> None:
    events = told(client.responses.create(model="words-40-5", input="Hello", stream=True))
    assert [event.type for event in events][:5] == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert text_of(events) == last.response.output_text == WORDS
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 40
    assert client.responses.retrieve(last.response.id) == last.response
    more = client.responses.create(
        model="answers", input="two", previous_response_id=last.response.id
    )
    assert more.output_text == "said: Hello, two"
    listed = client.responses.input_items.list(more.id, order="asc")
    assert [item.type for item in listed] == ["message"] * 3


def test_the_sdk_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.responses.stream(model="words-40-5", input="Hello") as stream:
        snapshots = [each.snapshot for each in stream if each.type == "response.output_text.delta"]
        assert snapshots[-1] == WORDS
        assert stream.get_final_response().output_text == WORDS


def test_parsed_and_tools_in_a_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="answers", input="City?", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == City(name="Ulm")
    with client.responses.stream(model="answers", input="Weather?", tools=[TOOL]) as stream:
        call = stream.get_final_response().output[0]
    assert call.type == "function_call"
    assert call.parsed_arguments == {"city": "Ulm"}


async def test_async_streams_in_the_background_and_their_resumption(stack: Stack) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="x") as client:
        events = []
        async with await client.responses.create(
            model="words-40-50", input="Hello", stream=True, background=True
        ) as stream:
            async for event in stream:
                events.append(event)
                if event.sequence_number == 12:
                    break
        first: Any = events[0]
        response_id = first.response.id
        resumed = await client.responses.retrieve(response_id, stream=True, starting_after=12)
        events += [event async for event in resumed]
        assert text_of(told(events)) == WORDS
        async with client.responses.stream(response_id=response_id, starting_after=20) as again:
            rest = told([event async for event in again], first=21)
            assert (await again.get_final_response()).output_text == WORDS
        assert rest[-1].sequence_number == events[-1].sequence_number


@pytest.mark.parametrize("after", [-1, 0, 1, 2, 30])
def test_every_number_can_be_resumed_from(client: openai.OpenAI, after: int) -> None:
    whole = told(client.responses.create(model="words-40-5", input="Hello", stream=True))
    first: Any = whole[0]
    given: Any = {"starting_after": after} if after >= 0 else {}
    rest = client.responses.retrieve(first.response.id, stream=True, **given)
    assert told(rest, first=after + 1) == whole[after + 1 :]
    with client.responses.stream(response_id=first.response.id, **given) as again:
        assert len(list(again)) == len(whole) - after - 1


def test_a_stream_that_dies_ends_with_its_failure(client: openai.OpenAI) -> None:
    events = told(client.responses.create(model="stream-dies-3", input="Hello", stream=True))
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert client.responses.retrieve(last.response.id) == last.response


def test_a_cancelled_stream_ends(client: openai.OpenAI) -> None:
    events: list[Any] = []
    with client.responses.create(
        model="words-40-50", input="Hello", stream=True, background=True
    ) as stream:
        for event in stream:
            events.append(event)
            if event.sequence_number == 6:
                client.responses.cancel(events[0].response.id)
    last = told(events)[-1]
    assert (last.type, last.response.status) == ("response.failed", "cancelled")


def test_a_failure_before_anything_is_shown_is_raised(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="status-400", input="Hello", stream=True)


def test_what_was_not_streamed_is_not_streamed_later(client: openai.OpenAI) -> None:
    response = client.responses.create(model="echo", input="Hello")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.retrieve(response.id, stream=True)
    assert refused.value.code == "streaming_unsupported"


def test_a_stream_that_is_not_to_be_stored(client: openai.OpenAI) -> None:
    events = told(client.responses.create(model="echo", input="Hi", stream=True, store=False))
    last: Any = events[-1]
    assert last.type == "response.completed"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(last.response.id)


def test_a_stream_cannot_begin_anew(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model="echo", input="Hi", stream=True, extra_headers={"x-penstock-restart": "true"}
        )
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "restart")


def test_a_native_backend_answers_under_our_names(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "web_search"}]
    response = client.responses.create(
        model="own-echo", input="Hello", metadata={"a": "b"}, tools=tools
    )
    assert response.output_text.startswith("native ")
    assert response.metadata == {"a": "b"}
    assert (response.to_dict()["store"], response.model) == (True, "own-echo")
    assert client.responses.retrieve(response.id) == response
    again = client.responses.create(
        model="own-echo", input="more", previous_response_id=response.id
    )
    assert again.previous_response_id == response.id
    assert len(list(client.responses.input_items.list(again.id))) == 3


def test_a_native_backend_streams_under_our_names(client: openai.OpenAI) -> None:
    events = told(client.responses.create(model="own-echo", input="Hello", stream=True))
    last: Any = events[-1]
    assert [event.type for event in events].count("response.created") == 1
    assert last.response.output_text == text_of(events)
    assert last.response.usage.total_tokens == 5
    with client.responses.stream(response_id=last.response.id) as again:
        assert again.get_final_response().output_text == text_of(events)


def test_a_native_backend_that_fails(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="own-native-fails", input="Hello")
    events = told(client.responses.create(model="own-native-fails", input="Hi", stream=True))
    last: Any = events[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")


def test_a_stream_is_resumed_after_a_restart_of_the_api(
    stack: Stack, client: openai.OpenAI
) -> None:
    whole = told(client.responses.create(model="words-40-5", input="Hello", stream=True))
    running = client.responses.create(
        model="words-40-50", input="Hello", stream=True, background=True
    )
    begun: list[Any] = [next(running) for _ in range(10)]
    role = "serve" if stack.setup.engine == "embedded" else "api-0"
    stack.kill(role)
    stack.restart(role)
    stack.wait_ready()
    first: Any = whole[0]
    again = client.responses.retrieve(first.response.id, stream=True, starting_after=7)
    assert told(again, first=8) == whole[8:]
    with client.responses.stream(response_id=first.response.id) as stream:
        assert stream.get_final_response().output_text == WORDS
    rest = told(
        client.responses.retrieve(begun[0].response.id, stream=True, starting_after=9), first=10
    )
    last: Any = rest[-1]
    if stack.setup.engine == "real":
        assert text_of([*begun, *rest]) == WORDS
    else:
        # Its worker and its log died as well: what was shown is not continued by another attempt.
        assert (last.type, last.code) == ("error", "stream_interrupted")
