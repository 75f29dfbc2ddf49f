"""Reading a client's JSON: spans that keep every byte, and refusals within bounded work."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.body import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    read_nested,
    read_object,
    with_member,
    without_member,
)
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


@given(
    st.dictionaries(st.sampled_from("abc"), json_values, max_size=3),
    st.sampled_from([None, 1, 4]),
)
def test_what_is_inside_is_read_as_by_itself(
    members: dict[str, object], indent: int | None
) -> None:
    raw = b" " + json.dumps(members, indent=indent).encode()
    whole, inner = read_nested(raw, "a", "It", "`a`")
    assert whole == read_object(raw)
    expected = read_object(whole.part("a")) if isinstance(members.get("a"), dict) else None
    assert inner == expected


@pytest.mark.parametrize(
    ("raw", "code", "sentence"),
    [
        (b'{"a": {"b": 1, "b": 2}}', "duplicate_key", "`a` has the key 'b' twice."),
        (b'{"a": {}, "a": {}}', "duplicate_key", "It has the key 'a' twice."),
        (b'{"a": {"b": %s}}' % (b"[" * 63 + b"]" * 63), "invalid_body", "`a` is nested deeper"),
        (
            b'{"a": {%s}}' % b",".join(b'"%d": 0' % n for n in range(1_001)),
            "invalid_body",
            "`a` has more than 1000 members.",
        ),
    ],
)
def test_what_is_wrong_inside_is_told_of_the_inside(raw: bytes, code: str, sentence: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_nested(raw, "a", "It", "`a`")
    assert caught.value.code == code
    assert sentence in str(caught.value)


def test_an_inner_object_may_be_as_deep_as_a_value_of_the_outer_one() -> None:
    for levels, deep in ((MAX_DEPTH - 1, False), (MAX_DEPTH, True)):
        raw = b'{"a": ' + b'{"a": ' * levels + b"0" + b"}" * levels + b"}"
        refusals = []
        for read in (read_object, lambda raw: read_nested(raw, "a", "It", "a")):
            try:
                read(raw)
            except RequestError as error:
                refusals.append(error.code)
        assert refusals == (["invalid_body"] * 2 if deep else []), levels


@given(
    st.dictionaries(st.sampled_from(["k", 'a"k', "b", '"k":']), json_values, min_size=1),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([",", ", ", " ,\n"]),
)
def test_without_a_member_the_rest_stays(
    members: dict[str, object], indent: int | None, comma: str
) -> None:
    text = json.dumps(members, indent=indent, separators=(comma, ": "))
    whole = read_object(text.encode())
    for key in members:
        left = without_member(whole, key)
        rest = {name: value for name, value in members.items() if name != key}
        # One that is written with escapes stays.
        assert json.loads(left) in (rest, members)
        assert json.loads(left) == rest or '"' in key


def test_without_a_member_put_in_front_or_behind_the_bytes_are_as_before() -> None:
    plain = b'{"a" : [1,2] ,"b":{ } }'
    for keyed in (b'{"k": "v", ' + plain[1:], plain[:-2] + b', "k": 1 }'):
        assert without_member(read_object(keyed), "k") == plain


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


def test_text_in_another_encoding_is_called_that() -> None:
    with pytest.raises(RequestError) as raised:
        read_object('{"name": "\u00e9"}'.encode("latin-1"))
    assert raised.value.message == "The body is not UTF-8, at byte 10."


def test_the_deepest_allowed_body_passes() -> None:
    depth = MAX_DEPTH - 2
    assert read_object(b'{"a": ' + b"[" * depth + b"]" * depth + b"}").spans


def test_brackets_and_quotes_inside_strings_do_not_count() -> None:
    read = read_object(b'{"a": ["]}\\"", {"b": "[[["}], "model" : "x"}')
    assert read.part("model") == b'"x"'


@pytest.mark.parametrize("raw", [b"{}", b' { "a" : 1 } ', b'{"a":{}}'])
def test_a_member_is_put_in_front(raw: bytes) -> None:
    assert json.loads(with_member(raw, "model", 'a"b')) == {"model": 'a"b', **json.loads(raw)}


@pytest.mark.parametrize("many", [0, 1, 98, 99, 100, 101, 5_000])
@pytest.mark.parametrize("end", ["", "\\", '\\"', '"', "\\\\", "{", "\n]", "\u00e4"])
def test_texts_of_any_length_hide_no_bracket_and_no_quote(many: int, end: str) -> None:
    text = "x" * many + end
    members = {"a": text, "b": {"c": [text, {"d": text}], text: 1}, "e": [[text]], "f": text}
    raw = json.dumps(members, ensure_ascii=False).encode()
    read = read_object(raw)
    assert {key: json.loads(read.part(key)) for key in read.spans} == members
