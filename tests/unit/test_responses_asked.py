"""What a Responses body asks of a chat backend, and what is refused by its name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from schemas.errors import RequestError
from schemas.responses.asked import read_asked
from workers.backends.responses.to_chat import chat_body

CHAT: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)


def chat(**members: Any) -> dict[str, Any]:
    """Return the chat body; it is one that OpenAI's own types take."""
    body: dict[str, Any] = orjson.loads(
        chat_body(read_asked({"model": "m", "input": "hi", **members}), "backend-m")
    )
    if "stream" not in body:
        CHAT.validate_python(body)
    return body


def test_text_and_instructions_are_two_messages() -> None:
    assert chat(instructions="Be short.") == {
        "model": "backend-m",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "hi"},
        ],
    }


def test_a_conversation_with_tools_is_carried() -> None:
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "rain"}],
        },
    ]
    calls = [
        {"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for name in ("c1", "c2")
    ]
    assert chat(input=items)["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "I look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
    ]


def test_images_files_and_sound_are_carried() -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "file_data": "data:text/plain;base64,AA==", "filename": "a.txt"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    content = chat(input=[{"role": "user", "content": parts}])["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "file", "input_audio"]
    assert content[1]["image_url"] == {"url": "data:image/png;base64,AA==", "detail": "low"}


def test_tools_and_the_form_of_the_text_are_carried() -> None:
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
    tools = [
        {"type": "function", "name": name, "parameters": schema, "strict": None}
        for name in ("look", "jump")
    ]
    body = chat(
        tools=tools,
        tool_choice={
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "jump"}],
        },
        text={"format": form, "verbosity": "low"},
        parallel_tool_calls=False,
        reasoning={"effort": "low"},
        max_output_tokens=5,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == ["jump"]
    assert body["tool_choice"] == "required"
    assert body["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": schema,
    }
    assert (body["max_tokens"], body["reasoning_effort"], body["top_logprobs"]) == (5, "low", 2)
    assert body["parallel_tool_calls"] is False
    one = chat(tools=tools, tool_choice={"type": "function", "name": "look"})
    assert one["tool_choice"] == {"type": "function", "function": {"name": "look"}}


def test_what_is_not_known_passes_and_what_is_ours_does_not() -> None:
    body = chat(top_k=5, seed=1, n=4, messages=[], store=False, background=True, stream=True)
    assert (body["top_k"], body["seed"]) == (5, 1)
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body["stream_options"] == {"include_usage": True}
    assert not {"n", "store", "background", "input"} & set(body)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools.0"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"truncation": "auto"}, "truncation"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input.0.content.0",
        ),
    ],
)
def test_what_a_chat_cannot_do_is_refused_by_its_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        chat(**members)
    assert (refused.value.code, (refused.value.param or "")[: len(param)]) == (
        "unsupported_parameter",
        param,
    )


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [5]}, "input.0"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input.0.content.0.text",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 5}}, "metadata.a"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
    ],
)
def test_another_shape_is_refused_with_its_place(members: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        chat(**members)
    assert refused.value.param == param
