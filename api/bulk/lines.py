"""A body cut into its lines as it comes; no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
# What may stand around a line of the longest length: a byte order mark, a carriage return.
_AROUND = len(_BOM) + 1
# How much of an upload is taken as one: that costs once what each line would cost by itself.
_PARCEL_LINES, _PARCEL_BYTES = 256, 256 * 1024
# What is cut without a pause: a body may be nothing but line ends.
_STEP_LINES, _STEP_BYTES = 2_048, 64 * 1024


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

    def feed(self, piece: bytes) -> Iterator[list[RawLine]]:
        """Yield the lines that end in this piece of the body, a short step's worth at a time."""
        for start in range(0, len(piece), _STEP_BYTES):
            ended = piece[start : start + _STEP_BYTES].split(b"\n")
            rest = ended.pop()
            for place in range(0, len(ended), _STEP_LINES):
                yield self._taken(ended[place : place + _STEP_LINES])
            self._hold(rest)

    def end(self) -> list[RawLine]:
        """Return the last line, if it has no end of its own."""
        return self._taken([b""]) if self._held_bytes else []

    def _taken(self, parts: list[bytes]) -> list[RawLine]:
        lines = []
        for part in parts:
            self.read += 1
            data = part if self._fits(part) else self._joined(part)
            if data is None or data.strip():
                lines.append(RawLine(self.read, data and data.removesuffix(b"\r")))
        return lines

    def _fits(self, part: bytes) -> bool:
        """Tell whether a part is a whole line and may be as it is."""
        return self.read > 1 and not self._held_bytes and len(part) <= self._max_bytes

    def _joined(self, part: bytes) -> bytes | None:
        """Return what was held of a line with its last part; None if that is too long."""
        self._hold(part)
        data = b"".join(self._held).removesuffix(b"\r")
        if self.read == 1:
            data = data.removeprefix(_BOM)
        is_long = max(self._held_bytes - _AROUND, len(data)) > self._max_bytes
        self._held.clear()
        self._held_bytes = 0
        return None if is_long else data

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._max_bytes + _AROUND:
            self._held.clear()
        else:
            self._held.append(part)


class Parcels:
    """Lines on their way into parcels: a bounded number and about as many bytes in each."""

    def __init__(self) -> None:
        self._lines: list[RawLine] = []
        self._size = 0

    @property
    def first(self) -> int | None:
        """The number of the first line that is in none yet."""
        return self._lines[0].number if self._lines else None

    def add(self, lines: list[RawLine]) -> Iterator[Parcel]:
        """Yield the parcels that these lines fill."""
        for line in lines:
            self._lines.append(line)
            self._size += len(line.data or b"")
            if len(self._lines) >= _PARCEL_LINES or self._size >= _PARCEL_BYTES:
                yield from self.rest()

    def rest(self) -> Iterator[Parcel]:
        """Yield the parcel of what is there, if anything is."""
        if self._lines:
            lines, size = self._lines, self._size
            self._lines, self._size = [], 0
            yield Parcel(lines, size)
