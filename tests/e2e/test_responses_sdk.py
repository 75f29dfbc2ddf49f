"""OpenAI's Responses by the unmodified SDK, over a backend that only speaks chat."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

from tests.fakes.stack import Setup, Stack, serving

MODELS = ("echo", "answers", "slow-1500", "status-400", "status-500", "words-40-50")
TOOL: Any = {
    "type": "function",
    "name": "look",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def stack(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("responses"), setup, MODELS) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


def ended(client: openai.OpenAI, response_id: str) -> Response:
    """Poll as OpenAI's guide does."""
    until = time.monotonic() + 30
    while (response := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < until
        time.sleep(0.05)
    return response


def test_create(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="echo", input="Hello", instructions="Be short.", metadata={"a": "b"}
    )
    assert response.id.startswith("resp_")
    assert response.status == "completed"
    assert response.output_text.startswith("echo ")
    assert response.usage is not None
    assert response.usage.output_tokens == 2
    assert (response.model, response.instructions) == ("echo", "Be short.")
    assert client.responses.retrieve(response.id) == response


async def test_create_async(stack: Stack) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="x") as client:
        response = await client.responses.create(model="echo", input="Hello")
        assert (await client.responses.retrieve(response.id)) == response
        await client.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)


def requests_of(client: openai.OpenAI, request_id: str) -> int:
    """Return 1 while a request can be read by its id, else 0."""
    try:
        client.get(f"/requests/{request_id}", cast_to=object)
    except openai.NotFoundError:
        return 0
    return 1


def text_of(item: Any) -> str:
    """Return what a listed message says."""
    text: str = item.content[0].text
    return text


class City(BaseModel):
    name: str


def test_parse(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="answers", input="Which city?", text_format=City)
    assert response.output_parsed == City(name="Ulm")


def test_tools(client: openai.OpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    first = client.responses.create(model="answers", input=items, tools=[TOOL])
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, call.arguments) == ("look", '{"city": "Ulm"}')
    items += first.output
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sun"})
    second = client.responses.create(model="answers", input=items, tools=[TOOL])
    assert second.output_text == "tool said sun"


def test_a_conversation_goes_on(client: openai.OpenAI) -> None:
    first = client.responses.create(model="answers", input="one", instructions="not carried")
    second = client.responses.create(model="answers", input="two", previous_response_id=first.id)
    third = client.responses.create(
        model="answers",
        input=[{"role": "user", "content": "three"}],
        previous_response_id=second.id,
    )
    assert third.previous_response_id == second.id
    items = client.responses.input_items.list(third.id, order="asc", limit=2)
    texts = [text_of(item) for item in items]
    assert texts == ["one", "said: one", "two", "said: one, two", "three"]
    assert third.output_text == "said: one, two, three"
    newest = client.responses.input_items.list(third.id, limit=1)
    assert text_of(newest.data[0]) == "three"
    assert newest.has_more


def test_background_is_answered_at_once_and_polled(client: openai.OpenAI) -> None:
    response = client.responses.create(model="slow-1500", input="Hello", background=True)
    assert response.status == "queued"
    assert response.background is True
    done = ended(client, response.id)
    assert done.status == "completed"
    assert done.output_text.startswith("echo ")
    assert done.created_at == response.created_at


def test_background_can_be_cancelled_twice(client: openai.OpenAI) -> None:
    response = client.responses.create(model="slow-1500", input="Hello", background=True)
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"


def test_only_background_can_be_cancelled(client: openai.OpenAI) -> None:
    response = client.responses.create(model="echo", input="Hello")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.cancel(response.id)
    assert refused.value.code == "not_background"


def test_what_is_deleted_is_not_found(client: openai.OpenAI) -> None:
    for background in (False, True):
        response = client.responses.create(
            model="slow-1500" if background else "echo", input="Hello", background=background
        )
        client.responses.delete(response.id)
        for gone in (client.responses.retrieve, client.responses.delete):
            with pytest.raises(openai.NotFoundError):
                gone(response.id)


def test_what_is_not_to_be_stored_is_not_found(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="echo", input="Hello", store=False)
    response = raw.parse()
    assert response.output_text.startswith("echo ")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="echo", input="x", previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"
    until = time.monotonic() + 20
    while requests_of(client, raw.headers["x-request-id"]):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_failure_is_raised_where_the_call_is_held(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="status-400", input="Hello")
    assert refused.value.code == "fake_400"
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="status-500", input="Hello")


def test_a_failure_in_the_background_is_told_by_the_response(client: openai.OpenAI) -> None:
    for model, code in (("status-400", "invalid_prompt"), ("status-500", "server_error")):
        made = client.responses.create(model=model, input="Hello", background=True)
        failed = ended(client, made.id)
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error.code == code


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({"conversation": "conv_1"}, "unsupported_parameter", "conversation"),
        ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools.0"),
        ({"input": 5}, "invalid_body", "input"),
        ({"store": False, "background": True}, "invalid_body", "store"),
        ({"previous_response_id": "resp_x"}, "previous_response_not_found", "previous_response_id"),
    ],
)
def test_refusals(client: openai.OpenAI, asked: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**{"model": "echo", "input": "Hello", **asked})
    assert (refused.value.code, str(refused.value.param)[: len(param)]) == (code, param)
