"""A batch's file cut into lines: the same ones however its bytes come, and from any line on."""

from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.blobs.lines import RawLine, Splitting, UnreadableFile, lines_of
from schemas.batches import Cursor
from schemas.files import Part
from tests.fakes.blobs import MemoryBlobs

MAX = 12
START = Cursor()
BOM = b"\xef\xbb\xbf"

ends = st.sampled_from([b"\n", b"\r\n"])
texts = st.text(st.sampled_from("ab\r \t\u2028\x85"), max_size=MAX + 3).map(str.encode)
files = st.builds(
    lambda bom, lines, last: bom + b"".join(text + end for text, end in lines) + last,
    st.sampled_from([b"", BOM]),
    st.lists(st.tuples(texts, ends), max_size=12),
    texts,
)


def cut(content: bytes, pieces: Sequence[int], start: Cursor = START) -> list[RawLine]:
    """Return the lines of a file that comes in pieces of these sizes, and then the rest."""
    splitting, found, at = Splitting(start, MAX), list[RawLine](), start.offset
    for size in pieces:
        found += splitting.feed(content[at : at + size])
        at += size
    return [*found, *splitting.feed(content[at:]), *splitting.end()]


def expected(content: bytes) -> list[tuple[int, bytes | None]]:
    """The number and the text of each line, by the rules as they are told."""
    found: list[tuple[int, bytes | None]] = []
    for number, line in enumerate(content.removeprefix(BOM).split(b"\n"), 1):
        text = line.removesuffix(b"\r")
        if len(text) > MAX:
            found.append((number, None))
        elif text.strip():
            found.append((number, text))
    return found


@given(files, st.lists(st.integers(0, 9), max_size=40))
def test_the_same_lines_come_however_the_bytes_do(content: bytes, pieces: list[int]) -> None:
    assert [(line.number, line.data) for line in cut(content, pieces)] == expected(content)


@given(files, st.lists(st.integers(0, 9), max_size=40))
def test_reading_goes_on_from_any_cursor(content: bytes, pieces: list[int]) -> None:
    whole = cut(content, ())
    for index, line in enumerate(whole):
        assert cut(content, pieces, line.cursor_before) == whole[index:]
        assert cut(content, pieces, line.cursor_after) == whole[index + 1 :]


@given(files)
def test_a_cursor_counts_lines_that_are_requests_and_all_lines(content: bytes) -> None:
    for index, line in enumerate(cut(content, ())):
        assert line.cursor_before.line == index
        assert line.cursor_after.line == index + 1
        assert line.cursor_after.physical == line.number
        assert content[: line.cursor_after.offset].count(b"\n") in (line.number, line.number - 1)


def test_a_line_that_is_too_long_is_not_kept() -> None:
    splitting = Splitting(Cursor(), MAX)
    for _ in range(1_000):
        assert list(splitting.feed(b"x" * 1_000)) == []
        assert len(splitting._begun) <= MAX + 4
    [line] = splitting.feed(b"\n")
    assert (line.data, line.cursor_after) == (None, Cursor(1, 1_000_001, 1))
    [after] = splitting.feed(b"short\n")
    assert (after.data, after.number) == (b"short", 2)


async def _lines(blobs: MemoryBlobs, parts: Sequence[Part], start: Cursor) -> list[RawLine]:
    return [line async for line in lines_of(blobs, parts, start, 1024)]


@given(
    files,
    st.lists(st.integers(0, 60), max_size=3).map(sorted),
    st.integers(1, 20),
)
def test_a_file_of_several_parts_is_read_as_one(
    content: bytes, cuts: list[int], piece_bytes: int
) -> None:
    blobs = MemoryBlobs(piece_bytes)
    edges = [0, *cuts, max(60, len(content))]
    parts = blobs.file(*(content[a:b] for a, b in pairwise(edges)))
    one = MemoryBlobs()
    whole = asyncio.run(_lines(one, one.file(content), Cursor()))
    assert asyncio.run(_lines(blobs, parts, Cursor())) == whole
    for index, line in enumerate(whole):
        assert asyncio.run(_lines(blobs, parts, line.cursor_after)) == whole[index + 1 :]


def _zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.jsonl", "{}")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"{}\n", mtime=0), "gzip"),
        (_zipped(), "zip archive"),
        ("{}\n".encode("utf-16"), "UTF-16"),
        ("{}\n".encode("utf-16-be"), "UTF-16"),
        ("{}\n".encode("utf-16-le"), "UTF-16"),
        ("{}\n".encode("utf-32"), "UTF-16"),
        (b"%PDF-1.7 ...", "PDF"),
        (bytes(range(256)), "binary"),
    ],
    ids=["gzip", "zip", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "pdf", "binary"],
)
@pytest.mark.parametrize("piece_bytes", [1, 1_000_000])
def test_what_is_no_file_of_json_lines_is_told_as_what_it_is(
    content: bytes, said: str, piece_bytes: int
) -> None:
    blobs = MemoryBlobs(piece_bytes)
    with pytest.raises(UnreadableFile, match=said):
        asyncio.run(_lines(blobs, blobs.file(content), Cursor()))
