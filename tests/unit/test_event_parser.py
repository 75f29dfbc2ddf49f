"""Server-sent events: the same however the bytes are cut and the lines are ended."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.retry import Failure
from workers.backends.port import CallFailed
from workers.backends.sse import EventParser, data_of

ENDS = [b"\n", b"\r", b"\r\n"]
LINES = [
    b"",
    b"data: a",
    b"data:b: c",
    b"data",
    b"data: \xc3\xa9",
    b"event: x",
    b": comment",
    b"id: 7",
    b"retry: 5",
    b" data: x",
    b"datas: x",
    b"\x00\xff",
]
STREAMS = st.lists(st.sampled_from(LINES + ENDS), max_size=60).map(b"".join)
PLACES = st.lists(st.integers(0, 1_000), max_size=20)


def parsed(pieces: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.end()


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


def by_the_book(whole: bytes) -> list[bytes]:
    """Read a whole stream as the specification tells it, line by line."""
    events, lines = [], []
    for line in [*re.split(rb"\r\n|\n|\r", whole.removeprefix(b"\xef\xbb\xbf")), b""]:
        if line:
            lines += [line] if re.match(rb"(data|event)(:|\Z)", line) else []
            continue
        if any(line.startswith(b"data") for line in lines):
            events.append(b"\n".join(lines))
        lines = []
    return events


@given(st.sampled_from([b"", b"\xef\xbb\xbf"]), STREAMS, PLACES)
def test_events_are_the_same_however_they_come(
    mark: bytes, stream: bytes, places: list[int]
) -> None:
    whole = mark + stream
    assert parsed(cut(whole, places)) == by_the_book(whole)


@given(st.lists(st.sampled_from(LINES)), st.sampled_from(ENDS), PLACES)
def test_the_end_of_a_line_makes_no_difference(
    lines: list[bytes], end: bytes, places: list[int]
) -> None:
    whole, plain = (b"".join(line + each for line in lines) for each in (end, b"\n"))
    assert parsed(cut(whole, places)) == by_the_book(plain)


@given(st.binary(max_size=300), PLACES)
def test_no_bytes_make_it_fail(whole: bytes, places: list[int]) -> None:
    assert parsed(cut(whole, places)) == by_the_book(whole)


def test_an_event_is_told_as_soon_as_its_blank_line_has_come() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n") == []
    assert parser.feed(b"\r") == [b"data: a"]
    assert parser.feed(b"\ndata: b\n\nevent: x\ndata: c\ndata: d\n\n") == [
        b"data: b",
        b"event: x\ndata: c\ndata: d",
    ]
    assert parser.end() == []


@pytest.mark.parametrize(
    "flood",
    [b"data: " + b"x" * 2_000, b": " + b"x" * 2_000, b"data\n" * 400, b"event: x\n" * 300],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_an_event_without_an_end_is_refused_in_time(flood: bytes, step: int) -> None:
    parser = EventParser(max_event_bytes=1_000)
    pieces = [flood[start : start + step] for start in range(0, len(flood), step)]
    for piece in pieces[: 1_000 // step]:
        parser.feed(piece)
    with pytest.raises(CallFailed) as refused:
        parser.feed(b"".join(pieces[1_000 // step :])[:1_001])
    assert refused.value.failure is Failure.UNUSABLE


def test_comments_without_end_are_no_event() -> None:
    parser = EventParser(max_event_bytes=100)
    assert parser.feed(b": still here\n\n" * 10_000) == []
    assert parser.feed(b"data: a\n\n") == [b"data: a"]


def test_the_data_of_an_event_is_that_of_all_its_lines() -> None:
    assert data_of(b"event: x\ndata: {\ndata:  1}\ndata") == b"{\n 1}\n"
