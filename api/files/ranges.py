"""Which bytes of a file a client asks for: one range, as RFC 9110 has it; no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Of a set of ranges, and of what is no range of bytes, the whole is told, as the RFC allows.
_ONE = re.compile(r"bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})")


class Unsatisfiable(Exception):
    """The file has no byte of the range that is asked for."""


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` to before `end`."""

    start: int
    end: int

    def told(self, size: int) -> str:
        """Return the value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def asked_span(header: str | None, size: int) -> Span | None:
    """Return the bytes that a Range header asks for, None for the whole. Raises Unsatisfiable."""
    found = _ONE.fullmatch(header.strip()) if header is not None else None
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return Span(start, end)
