"""Until when large bodies and results are kept, and whose they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import BadEnvelope, decode, encode
from schemas.ids import new_request_id
from schemas.large import (
    LETTER_KEPT_S,
    blob_of_kept,
    body_hour,
    body_key,
    is_body_key,
    is_past,
    kept_apart,
    result_hour,
    result_key,
)
from schemas.lifecycle import Status
from schemas.record import kept_body
from schemas.result import Result, decode_head, decode_result, encode_result
from tests.fakes.envelopes import make_envelope

ID = "req_0a" + "1f" * 16
INSTANTS = st.floats(1e9, 1e10)
RETENTIONS = st.floats(60, 90 * 86_400)


@given(INSTANTS, RETENTIONS)
def test_a_body_is_kept_while_it_may_be_read_or_redriven(deadline: float, kept_s: float) -> None:
    key = body_key(body_hour(deadline, kept_s), ID, "0a1b2c3d")
    needed_until = deadline + max(kept_s, LETTER_KEPT_S)
    assert not is_past(key, needed_until + 3_600)
    assert is_past(key, needed_until + 3 * 3_600)


@given(INSTANTS, RETENTIONS, st.booleans())
def test_a_result_is_kept_while_it_is_told(ended: float, kept_s: float, letter: bool) -> None:
    key = result_key(result_hour(ended, kept_s, dead_letter=letter), ID, 3)
    needed_until = ended + (max(kept_s, LETTER_KEPT_S) if letter else kept_s)
    assert not is_past(key, needed_until + 3_600)
    assert is_past(key, needed_until + 3 * 3_600)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.text("ab", min_size=1))))
def test_keys_sort_by_their_hours(made: list[tuple[int, str]]) -> None:
    keys = sorted(body_key(hour, name, "0") for hour, name in made)
    assert [int(key.split("/")[1]) for key in keys] == sorted(hour for hour, _ in made)


@pytest.mark.parametrize("key", ["files/file-1", "until/x/y", "until/", "", "until"])
def test_what_has_no_hour_stays(key: str) -> None:
    assert not is_past(key, 1e12)


def test_an_hour_begins_exactly() -> None:
    key = body_key(500_000, ID, "0")
    assert key == f"until/0000500000/{ID}.0.body"
    assert is_past(key, 500_000 * 3_600)
    assert not is_past(key, 500_000 * 3_600 - 0.001)


def test_only_its_own_body_is_a_request_s() -> None:
    assert is_body_key(body_key(7, ID, "0a1b2c3d"), ID)
    for key in (
        body_key(7, new_request_id(), "0a1b2c3d"),
        result_key(7, ID, 1),
        f"files/{ID}.0a.body",
        f"until/0000000007/../{ID}.0a.body",
        f"until/0000000007/{ID}.0a.body/x",
        f"until/0000000007/{ID}.0a.body\n",
        f"until/7/{ID}.0a.body",
    ):
        assert not is_body_key(key, ID), key


APART = make_envelope(
    id=ID, body=b'{"model": "m"}' + b" " * 300_000, model_span=(10, 13), endpoint="/v1/responses"
).apart(body_key(7, ID, "0a1b2c3d"))


def test_an_envelope_travels_without_its_body() -> None:
    assert len(encode(APART)) < 1_000
    assert decode(encode(APART)) == APART
    assert (APART.body, APART.body_bytes) == (b"", 300_014)
    body = b'{"model": "m"}' + b" " * 300_000
    together = APART.together(body)
    assert (together.body, together.body_blob, together.body_bytes) == (body, None, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"{}"},
        {"body_blob": "files/file-of-another-tenant"},
        {"body_blob": body_key(7, new_request_id(), "0a1b2c3d")},
        {"body_bytes": 12},
    ],
)
def test_a_message_names_no_other_blob(changes: dict[str, Any]) -> None:
    with pytest.raises(BadEnvelope):
        decode(encode(replace(APART, **changes)))


def test_what_is_kept_of_a_body_is_itself_or_where_it_lies() -> None:
    assert blob_of_kept(kept_body(APART)) == APART.body_blob
    plain = make_envelope(body=b'{"a": 1}')
    assert kept_body(plain) == plain.body
    assert blob_of_kept(plain.body) is None
    assert kept_apart("a") == b"\0a"


def test_a_result_in_a_blob_is_small_and_whole_in_a_list() -> None:
    apart = Result(
        Status.COMPLETED,
        1.0,
        status_code=200,
        content_type="application/json",
        body_blob=result_key(7, ID, 1),
        body_bytes=300_000,
    )
    assert decode_result(encode_result(apart)) == apart
    assert decode_head(encode_result(apart)) == apart
    plain = Result(Status.COMPLETED, 1.0, body=b"x")
    assert b"body_blob" not in encode_result(plain)
