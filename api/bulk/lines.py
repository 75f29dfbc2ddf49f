"""A body cut into its lines as it comes; no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
# What may stand around a line of the longest length: a byte order mark, a carriage return.
_AROUND = len(_BOM) + 1
# How much of an upload is taken as one: that costs once what each line would cost by itself.
_PARCEL_LINES, _PARCEL_BYTES = 256, 256 * 1024


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that is not blank, by its number from 1; without `data` it was too long."""

    number: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """Some lines that follow each other, and how many bytes they are."""

    lines: list[RawLine]
    size: int


class Lines:
    """The lines of one body: LF or CRLF ends them, the last may end without."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.read = 0

    def feed(self, piece: bytes) -> list[RawLine]:
        """Return the lines that end in this piece of the body."""
        ended = piece.split(b"\n")
        rest = ended.pop()
        lines = []
        for part in ended:
            self._hold(part)
            lines += self._end_line()
        self._hold(rest)
        return lines

    def end(self) -> list[RawLine]:
        """Return the last line, if it has no end of its own."""
        return self._end_line() if self._held_bytes else []

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._max_bytes + _AROUND:
            self._held.clear()
        else:
            self._held.append(part)

    def _end_line(self) -> list[RawLine]:
        self.read += 1
        data = b"".join(self._held).removesuffix(b"\r")
        if self.read == 1:
            data = data.removeprefix(_BOM)
        too_long = max(self._held_bytes - _AROUND, len(data)) > self._max_bytes
        self._held.clear()
        self._held_bytes = 0
        if too_long:
            return [RawLine(self.read, None)]
        return [RawLine(self.read, data)] if data.strip() else []


def parcels_of(lines: list[RawLine]) -> Iterator[Parcel]:
    """Yield all lines in their order, a bounded number and about as many bytes at once."""
    parcel: list[RawLine] = []
    size = 0
    for line in lines:
        parcel.append(line)
        size += len(line.data or b"")
        if len(parcel) >= _PARCEL_LINES or size >= _PARCEL_BYTES:
            yield Parcel(parcel, size)
            parcel, size = [], 0
    if parcel:
        yield Parcel(parcel, size)
