"""A bit for each line of a batch, in pages of a few hundred bytes: a million cost 125 KB."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal

import apsw

Kind = Literal["gathered", "failed"]

_PAGE_BYTES = 512
_PAGE_LINES = 8 * _PAGE_BYTES
_READ = "SELECT bits FROM line_bits WHERE batch = ? AND kind = ? AND page = ?"


def put(file: apsw.Connection, batch: int, kind: Kind, lines: Iterable[int]) -> None:
    """Set the bits of these lines."""
    for page, of_page in groupby(sorted(lines), key=_page_of):
        bits = bytearray(_page(file, batch, kind, page))
        for line in of_page:
            place, mask = _bit_of(line)
            bits[place] |= mask
        values = (batch, kind, page, bytes(bits))
        file.execute("INSERT OR REPLACE INTO line_bits VALUES (?, ?, ?, ?)", values)


def among(file: apsw.Connection, batch: int, kind: Kind, lines: Iterable[int]) -> set[int]:
    """Return which of these lines have theirs set."""
    found: set[int] = set()
    for page, of_page in groupby(sorted(lines), key=_page_of):
        bits = _page(file, batch, kind, page)
        for line in of_page:
            place, mask = _bit_of(line)
            if bits[place] & mask:
                found.add(line)
    return found


def read(file: apsw.Connection, batch: int, kind: Kind) -> bytes:
    """Return all bits, line 0 as the highest of byte 0, up to the last that is set."""
    query = "SELECT page, bits FROM line_bits WHERE batch = ? AND kind = ? ORDER BY page"
    pages: list[Any] = file.execute(query, (batch, kind)).fetchall()
    if not pages:
        return b""
    whole = bytearray((pages[-1][0] + 1) * _PAGE_BYTES)
    for page, bits in pages:
        whole[page * _PAGE_BYTES : (page + 1) * _PAGE_BYTES] = bits
    return bytes(whole).rstrip(b"\0")


def _page(file: apsw.Connection, batch: int, kind: Kind, page: int) -> bytes:
    bits: bytes | None = file.execute(_READ, (batch, kind, page)).get
    return bits or bytes(_PAGE_BYTES)


def _page_of(line: int) -> int:
    return line // _PAGE_LINES


def _bit_of(line: int) -> tuple[int, int]:
    """Return the byte of its page that holds a line's bit, and the bit in that."""
    place, bit = divmod(line % _PAGE_LINES, 8)
    return place, 0x80 >> bit
