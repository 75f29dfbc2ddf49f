"""AMQP 0-9-1 frames of the hot path, as bytes: those that every message costs, and no others.

A frame is `type(1) channel(2) size(4) payload end(0xCE)`. All rarer ones are pamqp's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from struct import Struct

from pamqp.commands import Basic
from pamqp.header import ContentHeader

METHOD, HEADER, BODY = 1, 2, 3
_KINDS = frozenset((METHOD, HEADER, BODY, 8))
END = 0xCE
# Around the payload: the head of seven bytes, and the end byte.
HEAD_BYTES, FRAME_BYTES = 7, 8
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"

# Class and method as one number, as they begin the payload of a method frame.
CONNECTION_CLOSE, CONNECTION_CLOSE_OK = 10 << 16 | 50, 10 << 16 | 51
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = 20 << 16 | 40, 20 << 16 | 41
PUBLISH, RETURN, DELIVER = 60 << 16 | 40, 60 << 16 | 50, 60 << 16 | 60
ACK, REJECT, NACK = 60 << 16 | 80, 60 << 16 | 90, 60 << 16 | 120

HEAD = Struct(">BHI")
METHOD_NUMBER = Struct(">I")
_CONTENT = Struct(">HHQ")
_TAG_AND_BITS = Struct(">QB")
_VERDICT = Struct(">BHIIQBB")
_BASIC = 60
_MANDATORY, _REQUEUE = 1, 2
# Content type, delivery mode, correlation id and message id, in the order of their flags.
_FLAGS = (1 << 15 | 1 << 12 | 1 << 10 | 1 << 7).to_bytes(2, "big")
_PERSISTENT = b"\x02"
# Those, headers and type; without the correlation id.
_REPLY_FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 5
_CORRELATED = 1 << 10
_LONG = Struct(">I")
_LONG_LONG = Struct(">q")


def split(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (type, channel, start of the payload, its end) of each whole frame at the front.

    Raises ValueError where something else than a frame begins.
    """
    position, size = 0, len(data)
    while position + HEAD_BYTES <= size:
        kind, channel, length = HEAD.unpack_from(data, position)
        start = position + HEAD_BYTES
        end = start + length
        if kind not in _KINDS or (end < size and data[end] != END):
            raise ValueError("not a frame")
        if end >= size:
            return
        yield kind, channel, start, end
        position = end + 1


def delivery(data: bytes, start: int) -> tuple[int, bool]:
    """Return tag and redelivered of a deliver whose payload begins at `start`."""
    tag, bits = _TAG_AND_BITS.unpack_from(data, start + 5 + data[start + 4])
    return tag, bool(bits & 1)


def routing_key(data: bytes) -> str:
    """Return the routing key in the payload of a deliver. Raises ValueError where it is no text."""
    exchange_at = 4 + 1 + data[4] + _TAG_AND_BITS.size
    key_at = exchange_at + 1 + data[exchange_at]
    return data[key_at + 1 : key_at + 1 + data[key_at]].decode()


def confirm(data: bytes, start: int) -> tuple[int, bool]:
    """Return tag and multiple of the server's ack or nack whose payload begins at `start`."""
    tag, bits = _TAG_AND_BITS.unpack_from(data, start + 4)
    return tag, bool(bits & 1)


def body_size(header: bytes) -> int:
    """Return the size of the body that a content header announces."""
    return int(_CONTENT.unpack_from(header)[2])


def read_properties(header: bytes) -> Basic.Properties:
    """Return the properties in a content header, by pamqp: slow, so only for what needs them."""
    content = ContentHeader()
    content.unmarshal(header)
    return content.properties


@lru_cache(maxsize=1024)
def route(exchange: str, routing_key: str, *, mandatory: bool = True) -> bytes:
    """Return the payload of a publish to there. Raises ValueError for a long name."""
    return b"".join(
        (
            METHOD_NUMBER.pack(PUBLISH),
            bytes(2),
            _short(exchange),
            _short(routing_key),
            bytes((_MANDATORY if mandatory else 0,)),
        )
    )


def properties(content_type: str, correlation_id: str, message_id: str) -> bytes:
    """Return flags and values of a persistent message. Raises ValueError for a long one."""
    return b"".join(
        (_FLAGS, _short(content_type), _PERSISTENT, _short(correlation_id), _short(message_id))
    )


def reply_properties(
    content_type: str,
    headers: Mapping[str, str | int],
    correlation_id: str | None,
    message_id: str,
    kind: str,
) -> bytes:
    """Return flags and values of a persistent reply. Raises ValueError for a long one."""
    flags = _REPLY_FLAGS | (0 if correlation_id is None else _CORRELATED)
    table = b"".join(map(_field, headers.items()))
    return b"".join(
        (
            flags.to_bytes(2, "big"),
            _short(content_type),
            _LONG.pack(len(table)),
            table,
            _PERSISTENT,
            b"" if correlation_id is None else _short(correlation_id),
            _short(message_id),
            _short(kind),
        )
    )


def publish(channel: int, way: bytes, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """Return all frames of one publish: they must stay together on their channel.

    `way` is a `route`; `frame_max` counts a whole frame, 0 is no limit.
    """
    parts = [
        HEAD.pack(METHOD, channel, len(way)),
        way,
        b"\xce",
        HEAD.pack(HEADER, channel, _CONTENT.size + len(properties)),
        _CONTENT.pack(_BASIC, 0, len(body)),
        properties,
        b"\xce",
    ]
    most = frame_max - FRAME_BYTES if frame_max else len(body) + 1
    for start in range(0, len(body), most):
        piece = body[start : start + most]
        parts += (HEAD.pack(BODY, channel, len(piece)), piece, b"\xce")
    return b"".join(parts)


def ack(channel: int, tag: int) -> bytes:
    """Return the ack of one delivery."""
    return _VERDICT.pack(METHOD, channel, 13, ACK, tag, 0, END)


def requeue(channel: int, tag: int) -> bytes:
    """Return the nack that puts one delivery back."""
    return _VERDICT.pack(METHOD, channel, 13, NACK, tag, _REQUEUE, END)


def reject(channel: int, tag: int) -> bytes:
    """Return the reject that has one delivery dead-lettered."""
    return _VERDICT.pack(METHOD, channel, 13, REJECT, tag, 0, END)


def _field(member: tuple[str, str | int]) -> bytes:
    name, value = member
    if isinstance(value, int):
        return _short(name) + b"l" + _LONG_LONG.pack(value)
    encoded = value.encode()
    return _short(name) + b"S" + _LONG.pack(len(encoded)) + encoded


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"{len(encoded)} bytes are more than a short string holds (255).")
    return bytes((len(encoded),)) + encoded
