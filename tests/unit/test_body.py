"""Reading a client's JSON: spans that keep every byte, and refusals within bounded work."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.body import MAX_CONTAINERS, MAX_DEPTH, read_object, with_member
from schemas.errors import RequestError

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=8),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
)
def test_every_span_holds_exactly_the_bytes_of_its_value(
    members: dict[str, object], indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(members, indent=indent, ensure_ascii=ascii_only).encode()
    read = read_object(raw)
    assert read.members == members
    assert {key: json.loads(read.part(key)) for key in read.spans} == members


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"  \n", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": Infinity}', "invalid_json"),
        (b'{"a": "\\ud800"}', "invalid_json"),
        (b'{"a": 1}{"b": 2}', "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": 1,}', "invalid_json"),
        (b"null", "invalid_body"),
        (b"[]", "invalid_body"),
        (b'"x"', "invalid_body"),
        (b'{"a": 1, "a": 1}', "duplicate_key"),
        (b'{"model": 1, "mod\\u0065l": 2}', "duplicate_key"),
        (b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "invalid_json"),
        (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "invalid_body"),
        (b'{"a": [' + b"[]," * MAX_CONTAINERS + b"1]}", "invalid_body"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(1001)) + b"}", "invalid_body"),
    ],
)
def test_what_is_not_one_plain_object_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_object(raw)
    assert refused.value.code == code


def test_the_deepest_allowed_body_passes() -> None:
    depth = MAX_DEPTH - 2
    assert read_object(b'{"a": ' + b"[" * depth + b"]" * depth + b"}").spans


def test_brackets_and_quotes_inside_strings_do_not_count() -> None:
    read = read_object(b'{"a": ["]}\\"", {"b": "[[["}], "model" : "x"}')
    assert read.part("model") == b'"x"'


@pytest.mark.parametrize("raw", [b"{}", b' { "a" : 1 } ', b'{"a":{}}'])
def test_a_member_is_put_in_front(raw: bytes) -> None:
    assert json.loads(with_member(raw, "model", 'a"b')) == {"model": 'a"b', **json.loads(raw)}
