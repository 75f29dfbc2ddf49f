"""The usage is asked for in a streamed request, and no other byte of it is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.backends.usage_asked import with_usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("sent", "body", "asked"),
    [
        (b"{}", b'{"stream_options":{"include_usage":true}}', False),
        (
            b'{ "a": 1.50 }',
            b'{"stream_options":{"include_usage":true}, "a": 1.50 }',
            False,
        ),
        (
            b'{"stream_options" : null, "a": "\\u00e9"}',
            b'{"stream_options" : {"include_usage":true}, "a": "\\u00e9"}',
            False,
        ),
        (
            b'{"stream_options": {"x": 1}}',
            b'{"stream_options": {"include_usage":true,"x": 1}}',
            False,
        ),
        (
            b'{"stream_options": {"include_usage": false, "x": 1e2}}',
            b'{"stream_options": {"include_usage": true, "x": 1e2}}',
            False,
        ),
        (
            b'{"stream_options": {"include_usage":null}}',
            b'{"stream_options": {"include_usage":true}}',
            False,
        ),
    ],
)
def test_it_is_asked_for_where_it_was_not(sent: bytes, body: bytes, asked: bool) -> None:
    assert with_usage(sent) == (body, asked)


@pytest.mark.parametrize(
    "sent",
    [
        b'{"stream_options": {"include_usage": true}}',
        b'{"stream_options": {"include_usage": "yes"}}',
        b'{"stream_options": []}',
        b'{"stream_options": {"include_usage": false, "include_usage": false}}',
        b"no JSON",
    ],
)
def test_what_asks_for_it_or_is_malformed_is_left_as_it_is(sent: bytes) -> None:
    assert with_usage(sent) == (sent, True)


@given(st.dictionaries(st.text(max_size=5), JSON), st.none() | st.dictionaries(st.text(), JSON))
def test_all_else_stays(members: dict[str, Any], options: dict[str, Any] | None) -> None:
    sent = {**members, "stream_options": options}
    body, _ = with_usage(json.dumps(sent).encode())
    assert json.loads(body) == {
        **sent,
        "stream_options": {**(options or {}), "include_usage": True},
    }
