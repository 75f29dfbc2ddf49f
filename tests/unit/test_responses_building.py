"""Chunks of a chat completion become events that OpenAI's own client types take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from schemas.priority import Priority
from schemas.responses.told import Origin, response_of
from workers.backends.responses.building import Building

ORIGIN = Origin("req_0" + "a" * 33, 1_700_000_000.5, "llama", Priority.LOW)
ASKED = {
    "model": "llama",
    "input": "hi",
    "service_tier": "flex",
    "metadata": {"a": "b"},
    "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
    "text": {"format": {"type": "json_object"}},
}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def delta(finish_reason: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish_reason}]}


def call(index: int, **function: Any) -> dict[str, Any]:
    found = {"index": index, "function": function}
    return {**found, "id": f"c{index}"} if "name" in function else found


def built(chunks: list[dict[str, Any]], first_event: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """Return the events, each checked against the SDK's types, and the Response."""
    building = Building(ORIGIN, ASKED, first_event)
    written = [event for chunk in chunks for event in building.chunk(chunk)]
    last, response = building.end(now=1_700_000_009.9)
    events = []
    for number, event in enumerate(written + last):
        name, _, data = event.partition(b"\n")
        parsed = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + parsed["type"].encode()
        assert parsed["sequence_number"] == first_event + 2 + number
        events.append(EVENT.validate_python(parsed))
    Response.model_validate(response)
    return events, response


def accumulated(events: list[Any]) -> dict[str, Any]:
    """Return the Response that the SDK's own accumulator ends with."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    for number, kind in enumerate(("created", "queued")):
        told = response_of(ORIGIN, ASKED, "queued")
        first = {"type": f"response.{kind}", "sequence_number": number, "response": told}
        state.handle_event(EVENT.validate_python(first))
    for event in events:
        state.handle_event(event)
    assert state._completed_response is not None
    return state._completed_response.to_dict(exclude_unset=False)


CHUNKS = [
    delta(role="assistant", content=""),
    delta(reasoning_content="Let me "),
    delta(reasoning_content="see."),
    delta(content="Hel"),
    delta(content="lo"),
    delta(tool_calls=[call(0, name="look", arguments="")]),
    delta(tool_calls=[call(0, arguments='{"a"'), call(1, name="look", arguments="{")]),
    delta(tool_calls=[call(1, arguments="}"), call(0, arguments=": 1}")]),
    delta("tool_calls"),
    {"choices": [], "usage": USAGE},
]


def test_a_stream_is_what_the_sdk_puts_together() -> None:
    events, response = built(CHUNKS, first_event=5)
    assert [event.type for event in events][:4] == [
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
    ]
    assert events[-1].type == "response.completed"
    output = response["output"]
    assert [item["type"] for item in output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "Let me see."}]
    assert output[1]["content"][0]["text"] == "Hello"
    assert [(item["call_id"], item["arguments"]) for item in output[2:]] == [
        ("c0", '{"a": 1}'),
        ("c1", "{}"),
    ]
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}
    assert response["completed_at"] == 1_700_000_009
    assert response["service_tier"] == "flex"
    told = accumulated(events)
    assert [item["id"] for item in told["output"]] == [item["id"] for item in output]


def test_a_whole_answer_gives_the_same_response_as_its_stream() -> None:
    function = [
        {"id": "c0", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}},
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ]
    message = {"content": "Hello", "reasoning": "Let me see.", "tool_calls": function}
    answer = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    assert built([answer])[1] == built(CHUNKS)[1]


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_is_incomplete(reason: str, why: str) -> None:
    events, response = built([delta(content="Hel"), delta(reason)])
    assert events[-1].type == "response.incomplete"
    assert response["status"] == response["output"][0]["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": why}
    assert "completed_at" not in response


def test_a_refusal_is_a_part_of_its_own() -> None:
    events, response = built([delta(content="No: "), delta(refusal="I will not."), delta("stop")])
    content = response["output"][0]["content"]
    assert [part["type"] for part in content] == ["output_text", "refusal"]
    assert content[1]["refusal"] == "I will not."
    assert "response.refusal.done" in [event.type for event in events]
    accumulated(events)


def test_a_backend_that_says_nothing_has_said_an_empty_text() -> None:
    silent: list[list[dict[str, Any]]] = [[], [delta(content=None)], [{"choices": [None]}]]
    for chunks in silent:
        events, response = built(chunks)
        assert response["output"][0]["content"][0]["text"] == ""
        accumulated(events)


def test_logprobs_are_told() -> None:
    said = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    chunk = {"choices": [{"delta": {"content": "Hi"}, "logprobs": {"content": [said]}}]}
    _, response = built([chunk])
    assert response["output"][0]["content"][0]["logprobs"] == [said]


def test_a_call_whose_name_comes_late_is_told_once_it_is_known() -> None:
    late = [
        delta(tool_calls=[{"index": 0, "id": "c", "function": {"arguments": '{"a'}}]),
        delta(tool_calls=[{"index": 0, "function": {"name": "look", "arguments": '": 2}'}}]),
    ]
    _, response = built(late)
    item = response["output"][0]
    assert (item["call_id"], item["name"], item["arguments"]) == ("c", "look", '{"a": 2}')


def test_a_call_that_goes_on_after_its_end_is_refused() -> None:
    building = Building(ORIGIN, ASKED)
    building.chunk(delta(tool_calls=[call(0, name="look", arguments="{")]))
    building.chunk(delta(content="text"))
    with pytest.raises(ValueError, match="after its end"):
        building.chunk(delta(tool_calls=[call(0, arguments="}")]))


def test_whatever_a_backend_sends_the_sdk_can_follow() -> None:
    rng = random.Random(5)
    pieces: list[Callable[[], dict[str, Any]]] = [
        lambda: delta(content=rng.choice(["", "a", "ü\n", None, 5])),
        lambda: delta(refusal=rng.choice(["", "no"])),
        lambda: delta(reasoning=rng.choice(["", "hm"])),
        lambda: delta(tool_calls=[call(rng.randrange(50), name="f", arguments="{}")]),
        lambda: rng.choice([dict[str, Any](), {"choices": None}, {"usage": {"prompt_tokens": -1}}]),
    ]
    for _ in range(200):
        chunks = [rng.choice(pieces)() for _ in range(rng.randrange(12))]
        try:
            events, response = built(chunks)
        except ValueError as error:
            assert "after its end" in str(error)  # noqa: PT017  because most of them are fine
            continue
        told = accumulated(events)
        assert [item["id"] for item in told["output"]] == [x["id"] for x in response["output"]]


def test_very_many_calls_do_not_hold_up_the_worker() -> None:
    count = 30_000
    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in range(count)]
    building, began_at = Building(ORIGIN, ASKED), time.monotonic()
    building.chunk({"choices": [{"message": {"tool_calls": calls}}]})
    events, response = building.end(0.0)
    assert time.monotonic() - began_at < 10
    assert len(response["output"]) == count
    places = [orjson.loads(each.partition(b"data: ")[2]).get("output_index") for each in events]
    assert list(dict.fromkeys(each for each in places if each is not None)) == list(range(count))
