"""The lines of a batch's file, out of its blobs, from any line on and in bounded memory.

A line ends with LF or CRLF; CR alone ends none, nor does U+2028. Blank lines are passed over.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from broker.blobs.stored import bytes_of
from broker.pauses import Pauses
from broker.ports import Blobs
from schemas.batches import Cursor
from schemas.files import Part

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"[ \t\r\n]*+")
# A byte order mark and a CR do not count.
_AROUND = len(_BOM) + 1
# So many of the first bytes tell what a file is.
_HEAD_BYTES = 512
_FOREIGN = {
    b"\x1f\x8b": "is compressed with gzip; upload it unpacked",
    b"PK\x03\x04": "is a zip archive; upload the file that is in it",
    b"PK\x05\x06": "is an empty zip archive; upload a file of JSON lines",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; upload it unpacked",
    b"\xfd7zXZ\x00": "is compressed with xz; upload it unpacked",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; upload the file that is in it",
    b"BZh": "is compressed with bzip2; upload it unpacked",
    b"PAR1": "is in Parquet's format; upload it as JSON lines",
    b"%PDF": "is a PDF; upload a file of JSON lines",
    b"\xff\xfe": "is in UTF-16; save it as UTF-8",
    b"\xfe\xff": "is in UTF-16; save it as UTF-8",
}


class UnreadableFile(Exception):
    """The file is none of JSON lines; the text says what it is and what to do."""


@dataclass(slots=True)
class RawLine:
    """A line that is not blank, without its end; `data` is None where it is too long.

    `number` counts all lines from 1. Reading from `cursor_before` gives this line first, from
    `cursor_after` the next one.
    """

    data: bytes | None
    cursor_before: Cursor
    cursor_after: Cursor
    number: int


async def lines_of(
    blobs: Blobs, parts: Sequence[Part], start: Cursor, max_bytes: int
) -> AsyncGenerator[RawLine]:
    """Yield the lines of a file from `start` on.

    One of more than `max_bytes` is passed over without being kept. The caller lets the loop turn
    between lines.
    Raises UnreadableFile, BlobMissing, BlobsUnavailable.
    """
    splitting, pauses = Splitting(start, max_bytes), Pauses()
    async with aclosing(_pieces(blobs, parts, start.offset)) as pieces:
        async for piece in pieces:
            for line in splitting.feed(piece):
                yield line
            await pauses.turn()
    for line in splitting.end():
        yield line


class Splitting:
    """Cuts a file that comes in pieces into lines; what has no end yet is kept for the next one."""

    def __init__(self, start: Cursor, max_bytes: int) -> None:
        self._cursor = start
        # Where the line begins that is being read, and how many lines are before it.
        self._offset = start.offset
        self._physical = start.physical
        self._max_bytes = max_bytes
        self._begun = bytearray()
        self._dropped = 0

    def feed(self, piece: bytes) -> Iterator[RawLine]:
        """Yield the lines that end in `piece`."""
        position = 0
        while (end := piece.find(b"\n", position)) >= 0:
            line = self._ended(piece[position:end], end_bytes=1)
            position = end + 1
            if line is not None and not line.strip():
                position = self._after_blanks(piece, position)
            else:
                yield self._told(line)
        self._keep(piece[position:])

    def end(self) -> Iterator[RawLine]:
        """Yield the last line where nothing ends it."""
        if self._begun or self._dropped:
            line = self._ended(b"", end_bytes=0)
            if line is None or line.strip():
                yield self._told(line)

    def _keep(self, part: bytes) -> None:
        kept = len(self._begun) + len(part)
        if self._dropped or kept > self._max_bytes + _AROUND:
            self._dropped += kept
            self._begun.clear()
        else:
            self._begun += part

    def _ended(self, last: bytes, end_bytes: int) -> bytes | None:
        """Return the line that `last` ends; None where it is too long."""
        line: bytes | None = last
        if self._begun or self._dropped:
            self._keep(last)
            line = None if self._dropped else bytes(self._begun)
        size = self._dropped if line is None else len(line)
        if line is not None:
            line = line.removesuffix(b"\r")
            if self._offset == 0:
                line = line.removeprefix(_BOM)
            if len(line) > self._max_bytes:
                line = None
        self._begun.clear()
        self._dropped = 0
        self._offset += size + end_bytes
        self._physical += 1
        return line

    def _after_blanks(self, piece: bytes, position: int) -> int:
        """Pass over the blank lines that follow at once: a file may hold millions of them."""
        blank = _BLANK.match(piece, position)
        after = piece.rfind(b"\n", position, blank.end() if blank else position) + 1
        if not after:
            return position
        self._physical += piece.count(b"\n", position, after)
        self._offset += after - position
        return after

    def _told(self, line: bytes | None) -> RawLine:
        before = self._cursor
        self._cursor = Cursor(before.line + 1, self._offset, self._physical)
        return RawLine(line, before, self._cursor, self._physical)


async def _pieces(blobs: Blobs, parts: Sequence[Part], offset: int) -> AsyncGenerator[bytes]:
    """Yield the bytes of a file from `offset` on. Raises UnreadableFile for a foreign beginning."""
    head = bytearray()
    judged = offset > 0
    async with aclosing(bytes_of(blobs, parts, offset)) as pieces:
        async for piece in pieces:
            if judged:
                yield piece
                continue
            head += piece
            if len(head) >= _HEAD_BYTES:
                judged = True
                _check_head(head)
                yield bytes(head)
                head.clear()
    if not judged:
        _check_head(head)
        yield bytes(head)


def _check_head(head: bytes | bytearray) -> None:
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise UnreadableFile(f"The file {what}.")
    if b"\0" in head[:_HEAD_BYTES]:
        raise UnreadableFile("The file is binary, or in UTF-16; upload JSON lines in UTF-8.")
