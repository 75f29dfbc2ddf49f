"""Putting data on standard output, safely: a model's answer must not steer the terminal."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Whole escape sequences: CSI, the strings (OSC, DCS, SOS, PM, APC) up to their end, the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters but tab and newline, lone surrogates, and what turns the direction of text.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
# A row is one line, which a narrow terminal wraps by itself: an id that is cut cannot be copied.
_WIDTH = 100_000


def plain(text: str) -> str:
    """Return `text` without anything that a terminal would obey."""
    return _UNSAFE.sub("", _ESCAPES.sub("", text))


def cell(value: object) -> str:
    """Return `value` as one safe line; nothing for None."""
    return "" if value is None else " ".join(plain(str(value)).split())


def json_text(content: object, *, indented: bool = False) -> str:
    """Return `content` as JSON in which nothing steers a terminal."""
    try:
        text = orjson.dumps(content, option=orjson.OPT_INDENT_2 if indented else None).decode()
    except TypeError:
        # Lone surrogates, which orjson refuses and JSON can escape.
        text = json.dumps(content, indent=2 if indented else None)
    return escaped(text)


def escaped(json_text: str) -> str:
    """Return JSON as it is, but for what would steer a terminal: that is escaped."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def print_json(content: object, *, indented: bool = True) -> None:
    """Print JSON: a document, or one line of many."""
    sys.stdout.write(json_text(content, indented=indented) + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()
) -> None:
    """Print a table; the columns named in `numbers` stand to the right."""
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    _print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names with their values; a field of None or "" is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in fields:
        if value not in (None, ""):
            table.add_row(Text(name), Text(cell(value)))
    _print(table)


def instant(seconds: float | None) -> str:
    """Return a Unix time as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def say(text: str) -> None:
    """Print a sentence on standard error."""
    print(f"penstock: {plain(text)}", file=sys.stderr)


def _print(table: Table) -> None:
    console = Console(width=_WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(table)
    # The padding of the last column would wrap into blank lines.
    for line in captured.get().splitlines():
        print(line.rstrip())
