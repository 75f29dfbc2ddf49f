"""A batch of messages as it is read: each request exactly as sent, and every mistake named."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.anthropic.reading import InputLines
from api.anthropic.splitting import Splitter
from schemas.errors import RequestError

texts = st.text(st.sampled_from('ab"\\{}[],: \n\u00e4\u2028\U0001f600'), max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
cuts = st.lists(st.integers(0, 400), max_size=12)
MOST = 10_000


def in_pieces(body: bytes, at: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(place for place in at if place < len(body)), len(body)]
    for start, end in itertools.pairwise(places):
        yield body[start:end]


def split(body: bytes, at: list[int] | None = None) -> list[bytes]:
    splitter = Splitter(MOST)
    requests = [raw for piece in in_pieces(body, at or []) for raw in splitter.feed(piece)]
    splitter.end()
    return requests


@given(
    st.lists(st.dictionaries(texts, json_values, max_size=3), min_size=1, max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
    cuts,
)
def test_each_request_is_cut_out_as_it_was_sent(
    requests: list[dict[str, Any]], indent: int | None, ascii_only: bool, at: list[int]
) -> None:
    sent = [json.dumps(each, indent=indent, ensure_ascii=ascii_only) for each in requests]
    space = "" if indent is None else "\n \r\n"
    body = f'{{{space}"requests"{space}:[{space}{f"{space},{space}".join(sent)}{space}]{space}}}'
    assert split(body.encode(), at) == [each.encode() for each in sent]


OUTER = ('{"requests":[', "]}", "{", "}", "[", "]", ",", ":", "{}", '{"a":{}}', '{"requests":')
INNER = ('"a"', '"', "\\", "1", "null", "-", "e5", ".5", " ")


@given(st.integers(0, 250), st.sampled_from(["", "\\", '\\"', '"}]}', "\n", "\\\\{"]), cuts)
def test_long_texts_are_passed_over_wherever_they_are_cut(
    many: int, end: str, at: list[int]
) -> None:
    text = "x" * many + end
    sent = json.dumps({"custom_id": text, text: [text, {"a": text}]})
    body = f'{{"requests": [{sent}, {sent}]}}'
    assert split(body.encode(), at) == [sent.encode()] * 2


pieces_of_json = st.lists(st.sampled_from(OUTER + INNER), max_size=9)


@given(pieces_of_json, cuts)
@example(['{"requests":[', "1", "{}", "]}"], [])
@example(['{"requests":[', "{}", ".5", "]}"], [])
@example(['{"requests":[', "{}", "{}", "]}"], [])
@example(['{"requests":', "{", '"a"', ":", "{}", "}", "}"], [])
def test_what_is_taken_is_a_whole_body_with_just_those_requests(
    parts: list[str], at: list[int]
) -> None:
    body = "".join(parts).encode()
    try:
        taken = [orjson.loads(raw) for raw in split(body, at)]
    except (RequestError, orjson.JSONDecodeError):
        taken = None
    try:
        meant = orjson.loads(body)
        right = isinstance(meant, dict) and list(meant) == ["requests"]
        requests = meant["requests"] if right else None
    except orjson.JSONDecodeError:
        requests = None
    if not isinstance(requests, list) or not all(isinstance(r, dict | list) for r in requests):
        requests = None
    assert taken == (requests or None)


@pytest.mark.parametrize("within", [b'{"a":"', b'{"a":[', b'{"a":1 ', b' "', b" "])
def test_one_request_is_all_that_is_held(within: bytes) -> None:
    splitter = Splitter(MOST)
    pieces = (b'{"requests":[', within, b" " * (MOST // 2), b" " * MOST)
    with pytest.raises(RequestError) as refused:
        list(itertools.chain.from_iterable(map(splitter.feed, pieces)))
    assert refused.value.code == "body_too_large"


def message(custom_id: object = "a", **params: object) -> dict[str, object]:
    return {"custom_id": custom_id, "params": {"model": "m", "max_tokens": 1, **params}}


def lines(*requests: object) -> list[dict[str, Any]]:
    return lines_of(json.dumps({"requests": requests}).encode())


def lines_of(body: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in written(body).splitlines()]


def written(body: bytes, most: int = 100) -> bytes:
    async def sent() -> AsyncIterator[bytes]:
        yield body

    async def run() -> bytes:
        return b"".join([piece async for piece in InputLines(most, MOST, find).of(sent())])

    return asyncio.run(run())


def find(model: str) -> None:
    if model == "unknown":
        raise RequestError("model_not_found", param="model")


def test_each_request_becomes_a_line() -> None:
    assert lines(message("a"), message("b-_9", stream=False)) == [
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/messages",
            "body": {"model": "m", "max_tokens": 1, **more},
        }
        for custom_id, more in (("a", {}), ("b-_9", {"stream": False}))
    ]


def test_parameters_pass_byte_by_byte_but_for_line_breaks() -> None:
    params = b'{ "model" : "m",\r\n"x": [1.10, 1e2, "\\u00e4\\n \\"",\n12345678901234567890] }'
    body = b'{"requests": [{"custom_id": "a", "params": %b}]}' % params
    expected = params.replace(b"\r\n", b"  ").replace(b"\n", b" ")
    assert written(body).endswith(b'"body":' + expected + b"}\n")
    assert written(body).count(b"\n") == 1


@pytest.mark.parametrize(
    ("requests", "code", "param"),
    [
        ([], "invalid_body", "requests"),
        ([1], "invalid_body", "requests"),
        ([[]], "invalid_body", "requests.0"),
        ([{"params": {"model": "m"}}], "invalid_body", "requests.0.custom_id"),
        ([message(""), message("b")], "invalid_body", "requests.0.custom_id"),
        ([message("a"), message("a" * 65)], "invalid_body", "requests.1.custom_id"),
        ([message("a b")], "invalid_body", "requests.0.custom_id"),
        ([message("a\n")], "invalid_body", "requests.0.custom_id"),
        ([message(7)], "invalid_body", "requests.0.custom_id"),
        ([message("a"), message("b"), message("a")], "invalid_body", "requests.2.custom_id"),
        ([{"custom_id": "a"}], "invalid_body", "requests.0.params"),
        ([{"custom_id": "a", "params": []}], "invalid_body", "requests.0.params"),
        ([{"custom_id": "a", "params": {}}], "invalid_body", "requests.0.params.model"),
        ([message(model="")], "invalid_body", "requests.0.params.model"),
        ([message(model=1)], "invalid_body", "requests.0.params.model"),
        ([message(model="unknown")], "model_not_found", "requests.0.params.model"),
        ([message(stream=True)], "streaming_unsupported", "requests.0.params.stream"),
        ([{**message(), "foo": 1}], "invalid_body", "requests.0.foo"),
        ([message(x="y" * MOST)], "body_too_large", "requests.0"),
    ],
)
def test_a_mistake_is_refused_and_its_place_told(
    requests: list[object], code: str, param: str
) -> None:
    with pytest.raises(RequestError) as refused:
        lines(*requests)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.message.startswith(f"{param}: ")
    assert refused.value.message.count(param) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_body"),
        (b"{}", "invalid_body"),
        (b'{"requests": {"a": {}}}', "invalid_body"),
        (b'{"requests": [{"custom_id": "a", "params": {"model": "m"}}]', "invalid_json"),
        (b'{"requests": [{"custom_id": "a", "params": {"model": "m"}}]}}', "invalid_json"),
        (b'{"requests": [{"custom_id": "a", "params": {"model": "m"}}], "x": 1}', "invalid_body"),
        (b'{"requests": [], "requests": []}', "duplicate_key"),
        (b'{"requests": [{"custom_id": "a", "params": {"model": "m"]}]}', "invalid_json"),
        (b'{"requests": [{"custom_id": "a", "custom_id": "b"}]}', "duplicate_key"),
        (
            b'{"requests": [{"custom_id": "a", "params": {"model": 1, "model": 2}}]}',
            "duplicate_key",
        ),
    ],
)
def test_what_is_no_such_body_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        lines_of(body)
    assert refused.value.code == code


def test_one_request_too_many_is_refused() -> None:
    body = json.dumps({"requests": [message("a"), message("b")]}).encode()
    assert written(body, most=2).count(b"\n") == 2
    with pytest.raises(RequestError) as refused:
        written(body, most=1)
    assert refused.value.message == "requests: Send at most 1 of them."
