"""A batch's file read whole: what it holds, or every mistake in it by its line."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.batches import LineError
from schemas.errors import BATCH_ERRORS
from schemas.files import Part
from tests.fakes.batch_lines import CHAT, TheseModels, make_line, make_terms, write_lines
from tests.fakes.blobs import MemoryBlobs
from workers.batches import duplicates, mistakes
from workers.batches.validating import Validation, validate

BOM = b"\xef\xbb\xbf"


async def _validated(
    content: bytes | Sequence[Part], scratch: Path, max_lines: int, blobs: MemoryBlobs
) -> tuple[Validation, list[LineError]]:
    parts = blobs.file(content) if isinstance(content, bytes) else content
    models = TheseModels("m", "other")
    found = await validate(
        blobs, parts, make_terms(), models, max_lines=max_lines, max_bytes=2_000, scratch=scratch
    )
    return found, [each async for each in found.all_mistakes()]


def validated(
    content: bytes | Sequence[Part], scratch: Path, max_lines: int = 100_000
) -> tuple[Validation, list[LineError]]:
    """Return what was found, and every mistake."""
    return asyncio.run(_validated(content, scratch, max_lines, MemoryBlobs()))


def codes(content: bytes, scratch: Path) -> list[tuple[str, int | None]]:
    """Return the code and the line of every mistake."""
    return [(each.code, each.line) for each in validated(content, scratch)[1]]


LINE = write_lines(make_line())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINE, id="plain"),
        pytest.param(BOM + LINE, id="a byte order mark"),
        pytest.param(LINE.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(LINE.rstrip(), id="no final newline"),
        pytest.param(b"\n\r\n  \n" + LINE + b"\n\t\n", id="blank lines"),
    ],
)
def test_a_file_of_one_line_is_read_however_its_lines_end(content: bytes, tmp_path: Path) -> None:
    found, told = validated(content, tmp_path)
    assert (found.total, found.model, found.mistakes_count, told) == (1, "m", 0, [])


def test_the_model_is_named_where_all_lines_ask_for_it(tmp_path: Path) -> None:
    other = make_line("b", body={"model": "other", "messages": []})
    found, _ = validated(write_lines(make_line("a"), other), tmp_path)
    assert (found.total, found.model) == (2, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", [("empty_file", None)], id="nothing"),
        pytest.param(BOM, [("empty_file", None)], id="only a byte order mark"),
        pytest.param(b"\n" * 3_000_000, [("empty_file", None)], id="only newlines"),
        pytest.param(LINE.replace(b"\n", b"\r") * 2, [("invalid_json_line", 1)], id="only CR"),
        pytest.param(b"\x1f\x8b\x08" + b"\0" * 99, [("unreadable_file", None)], id="gzip"),
        pytest.param(b"\n" + b"x" * 2_001 + b"\n" + LINE, [("line_too_long", 2)], id="a long line"),
        pytest.param(b"{}\n\nx\n", [("missing_custom_id", 1), ("invalid_json_line", 3)], id="two"),
        pytest.param(
            LINE + b"\n" + LINE + LINE,
            [("duplicate_custom_id", 3), ("duplicate_custom_id", 4)],
            id="the same id three times",
        ),
        pytest.param(
            write_lines(make_line(method="GET"), make_line()),
            [("invalid_method", 1), ("duplicate_custom_id", 2)],
            id="an id of a line that is wrong",
        ),
    ],
)
def test_what_is_wrong_is_told_by_line(
    content: bytes, told: list[tuple[str, int | None]], tmp_path: Path
) -> None:
    assert codes(content, tmp_path) == told


def test_a_duplicate_names_both_lines(tmp_path: Path) -> None:
    lines = [make_line(f"id-{number}") for number in range(1, 101)]
    lines[89] = make_line("id-7")
    _, told = validated(write_lines(*lines), tmp_path)
    assert [(each.line, each.custom_id, each.param) for each in told] == [(90, "id-7", "custom_id")]
    assert "'id-7'" in told[0].message
    assert "line 7 " in told[0].message
    assert "line 90;" in told[0].message


def test_a_file_of_too_many_lines_is_not_read_to_its_end(tmp_path: Path) -> None:
    content = write_lines(*(make_line(f"{number}") for number in range(10)))
    content += b"not reached\n"
    exact, _ = validated(content[: -len(b"not reached\n")], tmp_path, max_lines=10)
    assert (exact.total, exact.mistakes_count) == (10, 0)
    found, told = validated(content, tmp_path, max_lines=9)
    assert [(each.code, each.line) for each in told] == [("too_many_lines", 10)]
    assert "more than 9 lines" in told[0].message
    assert found.total == 9


def test_a_file_whose_bytes_are_gone_is_a_mistake(tmp_path: Path) -> None:
    _, told = validated([Part("files/gone", 10)], tmp_path)
    assert told == [LineError("input_file_missing", BATCH_ERRORS["input_file_missing"])]


def test_the_first_hundred_mistakes_are_at_hand(tmp_path: Path) -> None:
    found, told = validated(b"x\n" * 250, tmp_path)
    assert found.mistakes_count == len(told) == 250
    assert found.first == tuple(told[:100])
    assert [each.line for each in told] == list(range(1, 251))


@given(
    ids=st.lists(st.sampled_from(["a", "b", "c", "dé", "\u2028", None]), min_size=1, max_size=40),
    block_bytes=st.integers(30, 400),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_on_disk_the_same_is_found_as_in_memory(
    ids: list[str | None], block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_lines(*map(make_line, ids))
    _, in_memory = validated(content, tmp_path)
    seen: Counter[str | None] = Counter()
    expected = []
    for line, custom_id in enumerate(ids, 1):
        seen[custom_id] += 1
        if custom_id is None:
            expected.append(("missing_custom_id", line))
        elif seen[custom_id] > 1:
            expected.append(("duplicate_custom_id", line))
    assert [(each.code, each.line) for each in in_memory] == expected
    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK_BYTES", block_bytes)
        patch.setattr(mistakes, "_RUN_BYTES", block_bytes)
        patch.setattr(mistakes, "_BLOCK_BYTES", 16)
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        assert validated(content, folder)[1] == in_memory


@pytest.mark.parametrize("repeated", [False, True])
def test_memory_does_not_grow_with_the_file(
    repeated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK_BYTES", 16_000)
    monkeypatch.setattr(mistakes, "_RUN_BYTES", 16_000)
    monkeypatch.setattr(mistakes, "_BLOCK_BYTES", 200)

    def peak(lines: int) -> int:
        folder = tmp_path / f"{lines}"
        folder.mkdir()
        ids = ("same" if repeated else f"{number:0200}" for number in range(lines))
        content = write_lines(*map(make_line, ids))
        tracemalloc.start()
        found, told = asyncio.run(_counted(content, folder))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (found.total, told) == (lines, lines - 1 if repeated else 0)
        return used

    grown = peak(1_500) - peak(500)
    assert grown < 1_000 * 100


async def _counted(content: bytes, folder: Path) -> tuple[Validation, int]:
    blobs = MemoryBlobs()
    parts = blobs.file(content)
    found = await validate(
        blobs,
        parts,
        make_terms(endpoint=CHAT),
        TheseModels("m"),
        max_lines=100_000,
        max_bytes=2_000,
        scratch=folder,
    )
    count = 0
    async for _ in found.all_mistakes():
        count += 1
    return found, count
