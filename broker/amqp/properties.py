"""The basic properties of a message, read from its content header.

pamqp's reader costs more than all else that an incoming request costs on the wire; its own is
needed for the table of headers alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from pamqp import decode

_FLAGS_AT = 12
_MORE_FLAGS = 1
_HEADERS, _DELIVERY_MODE, _PRIORITY, _TIMESTAMP = 13, 12, 11, 6
# The short strings, by the bit of their flag.
_TEXTS = {
    15: "content_type",
    14: "content_encoding",
    10: "correlation_id",
    9: "reply_to",
    8: "expiration",
    7: "message_id",
    5: "kind",
    4: "user_id",
    3: "app_id",
    2: "cluster_id",
}
_LONG = struct.Struct(">I")


class BadProperties(ValueError):
    """The header is not one that AMQP 0-9-1 allows, or its texts are not UTF-8."""


@dataclass(slots=True)
class Properties:
    """What a client gave a message; `kind` is its `type`."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    kind: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


def read(header: bytes) -> Properties:
    """Return the properties in a content header. Raises BadProperties."""
    try:
        return _read(header)
    except RecursionError as error:
        raise BadProperties("unreadable properties: nested too deeply") from error
    except (IndexError, struct.error, ValueError, OverflowError, TypeError) as error:
        raise BadProperties(f"unreadable properties: {error}") from error


def _read(header: bytes) -> Properties:
    flags = int.from_bytes(header[_FLAGS_AT : _FLAGS_AT + 2], "big")
    if flags & _MORE_FLAGS:
        raise BadProperties("more flags than there are properties")
    found = Properties()
    position = _FLAGS_AT + 2
    for bit in range(15, 1, -1):
        if not flags >> bit & 1:
            continue
        if (name := _TEXTS.get(bit)) is not None:
            start = position + 1
            position = start + header[position]
            setattr(found, name, header[start:position].decode())
        elif bit == _HEADERS:
            position, found.headers = _table(header, position)
        elif bit in (_DELIVERY_MODE, _PRIORITY):
            position += 1
        elif bit == _TIMESTAMP:
            position += 8
    if position > len(header):
        raise BadProperties("cut short")
    return found


def _table(header: bytes, position: int) -> tuple[int, dict[str, Any]]:
    (size,) = _LONG.unpack_from(header, position)
    end = position + _LONG.size + size
    if end > len(header):
        raise BadProperties("a table that is cut short")
    _, table = decode.field_table(header[position:end])
    return end, table
