"""What is shown on a terminal cannot steer it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.showing import cell, json_text, plain, print_table

STEERING = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\u200f"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text\n\tkept", "plain text\n\tkept"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mx", "x"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1;2|secret\x1b\\x", "x"),
        ("\x9b2Jx", "x"),
        ("\x9d0;title\x9cx", "x"),
        ("\x1bcx", "x"),
        ("\x1b(0x", "x"),
        ("a\rb\x08c\x00d\x7fe", "abcde"),
        ("abc\u202edef\u2069", "abcdef"),
        ("\ud800x", "x"),
        ("\x1b", ""),
        ("日本 é 👍", "日本 é 👍"),
    ],
)
def test_escapes_and_controls_are_stripped(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(st.characters() | st.sampled_from([*STEERING, *"\x1b\x1b\x1b[]0;mP\\"])))
def test_nothing_that_steers_is_left(text: str) -> None:
    assert not set(plain(text)) & set(STEERING) - {"\n", "\t"}
    assert "\n" not in cell(text)


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from(STEERING)))
def test_json_keeps_every_character_and_steers_nothing(text: str) -> None:
    shown = json_text({"said": text})
    assert json.loads(shown) == {"said": text}
    assert not set(shown) & set(STEERING)
    shown.encode()


def test_a_row_is_one_line_without_blanks_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    long = "req_" + "0" * 200
    print_table(("id", "message"), [(long, "short"), ("req_1", "a longer message")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", long, "req_1"]
    assert [line for line in lines if line != line.rstrip()] == []
