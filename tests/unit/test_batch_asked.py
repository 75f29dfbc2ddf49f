"""What a line of a batch asks for, and every mistake in one by its code and place."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.body import read_object
from schemas.tokens import input_tokens
from tests.fakes.batch_lines import CHAT, TheseModels, make_line, make_terms
from workers.batches.asked import AskedLine, BadLine, read_line

MODELS = TheseModels("m", "native", native=("native",))
BODY = {"model": "m", "messages": []}
LONG = b"k" * 100_000
RESPONSE = {"model": "m", "input": "hi"}


def asked(line: Any, endpoint: str = CHAT) -> AskedLine:
    data = line if isinstance(line, bytes) else orjson.dumps(line)
    return read_line(data, make_terms(endpoint=endpoint), MODELS)


def mistake(line: Any, endpoint: str = CHAT) -> tuple[str, str | None, str | None]:
    """Return the code, the place and the custom_id of what is wrong with a line."""
    with pytest.raises(BadLine) as refused:
        asked(line, endpoint)
    told = refused.value.mistake
    assert told.line is None
    assert 10 < len(told.message) < 500
    return told.code, told.param, told.custom_id


def chat(**members: Any) -> dict[str, Any]:
    return make_line(body={**BODY, **members})


def respond(**members: Any) -> dict[str, Any]:
    return make_line(url="/v1/responses", body={**RESPONSE, **members})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in make_line().items() if key != name}


def test_a_line_is_what_a_door_would_make_of_its_body() -> None:
    body = b'{ "messages":[], "model" : "m","n":2,"max_tokens":50}'
    line = b'{"custom_id":"a","method":"POST","url":"%s","body":%s}' % (CHAT.encode(), body)
    read = asked(line)
    assert read.body == body
    assert body[slice(*read.model_span)] == b'"m"'
    assert (read.custom_id, read.asked, read.model) == ("a", "m", "m")
    assert (read.input_tokens, read.max_tokens) == (input_tokens(body), 100)


@given(
    st.permutations(["custom_id", "method", "url", "body"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_the_order_and_the_spaces_of_a_line_do_not_matter(
    order: list[str], custom_id: str, indent: int | None, more: bool
) -> None:
    members = make_line(custom_id, body={**BODY, "max_tokens": 7})
    line = {name: members[name] for name in order} | ({"note": "mine"} if more else {})
    data = orjson.dumps(line, option=orjson.OPT_INDENT_2 if indent else 0).replace(b"\n", b" ")
    read = asked(data)
    assert (read.custom_id, read.model, read.max_tokens) == (custom_id, "m", 7)
    assert read_object(read.body).members == members["body"]
    assert orjson.loads(read.body[slice(*read.model_span)]) == "m"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(make_line("=cmd()"), id="a formula as custom_id"),
        pytest.param(make_line("two\nlines"), id="a line break in custom_id"),
        pytest.param(make_line("\u2028"), id="a line separator in custom_id"),
        pytest.param(make_line("é" * 512), id="a custom_id of 512 characters"),
        pytest.param(make_line(priority="high"), id="a member of somebody else's"),
        pytest.param(chat(stream=False), id="stream: false"),
        pytest.param(chat(stream=None), id="stream: null"),
        pytest.param(chat(api_base="http://10.0.0.1", api_key="k"), id="JS12: never obeyed"),
        pytest.param(orjson.dumps(make_line()) + b"\r", id="a CR at its end"),
    ],
)
def test_what_is_harmless_is_taken(line: Any) -> None:
    assert asked(line).model == "m"


MISTAKES: list[tuple[Any, tuple[str, str | None, str | None]]] = [
    # BF1, BF2: no JSON
    (b"{", ("invalid_json_line", None, None)),
    (b"x" * 1_000_000, ("invalid_json_line", None, None)),
    (b'{"custom_id": "\xff"}', ("invalid_json_line", None, None)),
    (b'{"custom_id": "a\\ud800"}', ("invalid_json_line", None, None)),
    (b"{}\r{}", ("invalid_json_line", None, None)),
    (b"[{}]", ("invalid_json_line", None, None)),
    (b"null", ("invalid_json_line", None, None)),
    (b'{"a": 1, "a": 2}', ("invalid_json_line", "a", None)),
    (orjson.dumps(make_line()) + b",", ("invalid_json_line", None, None)),
    (
        orjson.dumps(make_line())[:-1] + b',"custom_id":"b"}',
        ("invalid_json_line", "custom_id", None),
    ),
    # BF3: custom_id
    (without("custom_id"), ("missing_custom_id", "custom_id", None)),
    (make_line(None), ("missing_custom_id", "custom_id", None)),
    (make_line(7), ("invalid_custom_id", "custom_id", None)),
    (make_line(""), ("invalid_custom_id", "custom_id", None)),
    (make_line("x" * 513), ("invalid_custom_id", "custom_id", None)),
    (make_line("x" * 1_000_000), ("invalid_custom_id", "custom_id", None)),
    (make_line("a\0b"), ("invalid_custom_id", "custom_id", None)),
    # BF4: method and url
    (without("method"), ("invalid_method", "method", "a")),
    (make_line(method="GET"), ("invalid_method", "method", "a")),
    (make_line(method="post"), ("invalid_method", "method", "a")),
    (without("url"), ("invalid_url", "url", "a")),
    (make_line(url=["/v1/chat/completions"]), ("invalid_url", "url", "a")),
    (make_line(url="/admin/v1/keys"), ("invalid_url", "url", "a")),
    (make_line(url="http://10.0.0.1/v1/chat/completions"), ("invalid_url", "url", "a")),
    (make_line(url="/v1/chat/completions/../x"), ("invalid_url", "url", "a")),
    (make_line(url="/v1/chat/completions?x=1"), ("invalid_url", "url", "a")),
    (make_line(url="/v1/" + "x" * 1_000_000), ("invalid_url", "url", "a")),
    (make_line(url="/v1/embeddings"), ("url_mismatch", "url", "a")),
    # BF5: body
    (without("body"), ("invalid_body", "body", "a")),
    (make_line(body=None), ("invalid_body", "body", "a")),
    (make_line(body="{}"), ("invalid_body", "body", "a")),
    (make_line(body=[]), ("invalid_body", "body", "a")),
    (make_line(body={"messages": []}), ("invalid_body", "body.model", "a")),
    (chat(model=None), ("invalid_body", "body.model", "a")),
    (chat(model=["m"]), ("invalid_body", "body.model", "a")),
    (chat(model=""), ("invalid_body", "body.model", "a")),
    (chat(model="x" * 1_000_000), ("invalid_body", "body.model", "a")),
    (chat(model="other"), ("model_not_found", "body.model", "a")),
    (chat(stream=True), ("streaming_unsupported", "body.stream", "a")),
    (chat(stream="yes"), ("invalid_body", "body.stream", "a")),
    (
        orjson.dumps(make_line()).replace(b'"messages"', b'"model":"m","messages"'),
        ("invalid_body", "body.model", "a"),
    ),
    (chat(**{f"k{i}": i for i in range(1_001)}), ("invalid_body", "body", "a")),
]


@pytest.mark.parametrize(
    ("line", "told"), MISTAKES, ids=[f"{at}-{told[0]}" for at, (_, told) in enumerate(MISTAKES)]
)
def test_every_mistake_is_named(line: Any, told: tuple[str, str | None, str | None]) -> None:
    assert mistake(line) == told


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"background": True}, "body.background"),
        ({"previous_response_id": "resp_1"}, "body.previous_response_id"),
        ({"store": False}, "body.store"),
        ({"conversation": "conv_1"}, "body.conversation"),
        ({"tools": [{"type": "web_search"}]}, "body.tools.0"),
        ({"input": 7}, "body.input"),
        ({"metadata": {"a": 1}}, "body.metadata.a"),
    ],
)
def test_what_no_response_of_a_batch_can_be_is_refused_by_its_name(
    members: dict[str, Any], param: str
) -> None:
    code, place, _ = mistake(respond(**members), "/v1/responses")
    assert code == "invalid_body"
    assert place is not None
    assert place.startswith(param)


def test_a_native_backend_is_asked_for_all_that_it_may_serve_itself() -> None:
    line = respond(model="native", conversation="conv_1", background=False, store=True)
    assert asked(line, "/v1/responses").model == "native"
    refused = respond(model="native", previous_response_id="resp_1")
    assert mistake(refused, "/v1/responses")[1] == "body.previous_response_id"


def test_the_parser_s_own_line_number_is_not_told() -> None:
    with pytest.raises(BadLine) as refused:
        asked(b'{"custom_id": x}')
    assert "line 1" not in str(refused.value)
    assert "at character 14" in str(refused.value)
