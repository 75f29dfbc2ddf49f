"""A file as a Redis hash, and its parts as entries of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import msgpack

from schemas.files import Part, StoredFile


def first_fields(purpose: str, filename: str) -> list[Any]:
    """Return the fields and values that scripts/file.lua does not make itself, alternating."""
    return ["purpose", purpose, "filename", filename]


def part_value(part: Part) -> bytes:
    """Return the bytes of a part."""
    packed: bytes = msgpack.packb(astuple(part))
    return packed


def part_of(data: bytes) -> Part:
    """Return the part in `data`."""
    return Part(*msgpack.unpackb(data))


def file_of(file_id: str, flat: Sequence[bytes]) -> StoredFile:
    """Return the file in the fields and values of its hash, alternating."""
    values = iter(flat)
    known = dict(zip(values, values, strict=True))
    return StoredFile(
        id=file_id,
        tenant=known[b"tenant"].decode(),
        purpose=known[b"purpose"].decode(),
        filename=known[b"filename"].decode(),
        bytes=int(known.get(b"bytes", 0)),
        created_at=float(known[b"created_at"]),
        expires_at=float(known[b"expires_at"]),
    )
