"""Ranges of a file, and its name in a header."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.files.naming import disposition
from api.files.ranges import Span, Unsatisfiable, asked_span


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-5", Span(2, 6)),
        ("bytes=2-", Span(2, 10)),
        ("bytes=2-999", Span(2, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-999", Span(0, 10)),
        (" bytes = 2 - 5 ", Span(2, 6)),
        # Of these RFC 9110 lets the whole be told.
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-" + "9" * 40, None),
    ],
)
def test_a_range_is_read(header: str | None, span: Span | None) -> None:
    assert asked_span(header, 10) == span


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-5", 0)],
)
def test_a_range_without_a_byte_cannot_be_told(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        asked_span(header, size)


@given(size=st.integers(1, 50), start=st.integers(0, 49), end=st.integers(0, 60))
def test_a_range_names_the_bytes_that_a_slice_does(size: int, start: int, end: int) -> None:
    data = bytes(range(size))
    if start >= size or end < start:
        return
    span = asked_span(f"bytes={start}-{end}", size)
    assert span is not None
    assert data[span.start : span.end] == data[start : end + 1]
    assert span.told(size) == f"bytes {start}-{min(end, size - 1)}/{size}"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("in.jsonl", "in.jsonl"),
        ("../../x", "_.._x"),
        ("C:\\x", "C__x"),
        ('a"b.txt', "a_b.txt"),
        ("a\r\nSet-Cookie: b=c", "a__Set-Cookie_ b_c"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("ä.jsonl", "_.jsonl"),
        ("...", "file"),
        ("", "file"),
    ],
)
def test_a_name_is_harmless_in_a_header(name: str, plain: str) -> None:
    assert disposition(name).startswith(f'attachment; filename="{plain}"; ')


def test_a_name_in_any_script_can_be_saved_under_it() -> None:
    assert unquote(disposition("отчёт 1.jsonl").partition("''")[2]) == "отчёт 1.jsonl"


@given(st.text(max_size=2_000))
def test_any_name_is_told_in_printable_ascii_of_a_bounded_size(name: str) -> None:
    told = disposition(name)
    assert re.fullmatch(
        r"attachment; filename=\"[A-Za-z0-9._ -]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", told
    )
    assert len(told) < 2_100
