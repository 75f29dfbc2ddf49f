"""A body cut into lines: the same lines however it arrives."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from api.bulk.lines import Lines, RawLine, parcels_of

MAX = 20


def cut(body: bytes, cuts: list[int], max_bytes: int = MAX) -> list[RawLine]:
    """The lines of a body that arrives in pieces which end at `cuts`."""
    lines = Lines(max_bytes)
    edges = [0, *sorted(min(at, len(body)) for at in cuts), len(body)]
    found: list[RawLine] = []
    for start, end in itertools.pairwise(edges):
        found += lines.feed(body[start:end])
    return found + lines.end()


def expected(body: bytes) -> list[RawLine]:
    """The same by the plainest way: the whole body at once."""
    found = []
    for number, ended in enumerate(body.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        line = ended.removesuffix(b"\r")
        if len(line) > MAX:
            found.append(RawLine(number, None))
        elif line.strip():
            found.append(RawLine(number, line))
    return found


SOME = st.sampled_from([b"{}", b"x" * MAX, b"x" * (MAX + 1), b"y" * 70, b" ", b"\t", b"\r", b""])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\n\n"])
BODIES = st.builds(
    lambda bom, parts, last: bom + b"".join(one + end for one, end in parts) + last,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(SOME, ENDS), max_size=8),
    SOME,
)


@given(BODIES, st.lists(st.integers(0, 300), max_size=12))
def test_the_lines_are_the_same_however_the_body_is_cut(body: bytes, cuts: list[int]) -> None:
    assert cut(body, cuts) == expected(body)


def test_a_line_without_an_end_holds_no_more_than_its_limit() -> None:
    lines = Lines(MAX)
    for _ in range(1_000):
        lines.feed(b"x" * 1_000)
    assert sum(map(len, lines._held)) <= MAX + 1_000
    assert lines.feed(b"\n{}\n") == [RawLine(1, None), RawLine(2, b"{}")]


@given(st.lists(st.integers(0, 300_000), max_size=200))
def test_parcels_are_all_lines_in_order_and_bounded(sizes: list[int]) -> None:
    lines = [RawLine(number, bytes(size)) for number, size in enumerate(sizes, start=1)]
    parcels = list(parcels_of(lines))
    assert [line for parcel in parcels for line in parcel.lines] == lines
    for parcel in parcels:
        assert 1 <= len(parcel.lines) <= 256
        but_last = sum(len(line.data or b"") for line in parcel.lines[:-1])
        assert but_last < 256 * 1024
        assert parcel.size == sum(len(line.data or b"") for line in parcel.lines)
