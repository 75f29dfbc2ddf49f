"""The envelope's bytes: a version byte, the length of a msgpack map, the map, the body as sent.

    01 | u32 big-endian length | msgpack map | body

Whatever arrives is untrusted: every malformed input ends as a BadEnvelope, within bounded memory.
"""

from __future__ import annotations

import struct
from dataclasses import fields
from operator import attrgetter
from typing import Any

import msgpack

from schemas.envelope import Envelope
from schemas.ids import is_request_id
from schemas.large import is_body_key
from schemas.priority import Lane, Priority

VERSION = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
_PREFIX = struct.Struct(">BI")
_APART = ("body", "extra", "encoded")
_NAMES = tuple(field.name for field in fields(Envelope) if field.name not in _APART)
_REQUIRED = ("id", "tenant", "model", "endpoint", "priority", "accepted_at", "deadline")
_NEEDED = (*_REQUIRED, "body_hash")
_values_of = attrgetter(*_NAMES)
# What a field that is always written is compared with: nothing equals it.
_ALWAYS = object()
_LEFT_OUT = tuple(
    _ALWAYS if field.name in _REQUIRED else field.default
    for field in fields(Envelope)
    if field.name in _NAMES
)
# Exact types, for a bool is an int too; msgpack makes no subclasses.
_TYPES: dict[str, tuple[type, ...]] = {
    "accepted_at": (int, float),
    "deadline": (int, float),
    "not_before": (int, float, type(None)),
    "body_hash": (bytes,),
    "body_blob": (str, type(None)),
    "body_bytes": (int,),
    "generation": (int,),
    "meetings": (int,),
    "lane": (str,),
    "input_tokens": (int,),
    "max_tokens": (int, type(None)),
    "line": (int, type(None)),
    "stream": (bool,),
    "restart": (bool,),
    "quiet": (bool,),
    "metadata": (dict,),
    "model_span": (list, type(None)),
    **dict.fromkeys(("id", "tenant", "model", "endpoint", "priority", "content_type"), (str,)),
    "on_disconnect": (str,),
    **dict.fromkeys(
        ("key_id", "held_by", "reply_to", "correlation_id", "reply_as", "webhook", "batch"),
        (str, type(None)),
    ),
    **dict.fromkeys(("redrive_of", "traceparent"), (str, type(None))),
}


class BadEnvelope(ValueError):
    """The bytes are not an envelope that this version can read; the text says why."""


def encode(envelope: Envelope) -> bytes:
    """Return the bytes of `envelope`; defaults are left out, unknown keys survive."""
    if envelope.encoded is None:
        # Of one that never changes this is no change.
        object.__setattr__(envelope, "encoded", _encoded(envelope))
    assert envelope.encoded is not None  # noqa: S101  because it was made just now
    return envelope.encoded


def _encoded(envelope: Envelope) -> bytes:
    written = zip(_NAMES, _values_of(envelope), _LEFT_OUT, strict=True)
    known = {name: value for name, value, left_out in written if value != left_out}
    header = dict(envelope.extra) | known
    packed: bytes = msgpack.packb(header)
    return _PREFIX.pack(VERSION, len(packed)) + packed + envelope.body


def decode(data: bytes) -> Envelope:
    """Return the envelope in `data`. Raises BadEnvelope for anything else."""
    if len(data) < _PREFIX.size:
        raise BadEnvelope("shorter than an envelope's prefix")
    version, length = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise BadEnvelope(f"version {version} is not readable here (this is {VERSION}): upgrade")
    if length > MAX_HEADER_BYTES or len(data) - _PREFIX.size - length > MAX_BODY_BYTES:
        raise BadEnvelope("larger than an envelope may be")
    if len(data) < _PREFIX.size + length:
        raise BadEnvelope("cut short")
    header = _unpack(data[_PREFIX.size : _PREFIX.size + length])
    return _build(header, bytes(data[_PREFIX.size + length :]))


def _unpack(packed: bytes) -> dict[str, Any]:
    try:
        header = msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_unique,
            ext_hook=_refuse_ext,
            max_str_len=16 * 1024,
            max_bin_len=1024,
            max_array_len=256,
            max_map_len=256,
            max_ext_len=0,
        )
    except (ValueError, RecursionError) as error:
        raise BadEnvelope(f"the header is not msgpack as expected: {error}") from error
    if not isinstance(header, dict):
        raise BadEnvelope("the header is not a map")
    return header


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise ValueError("a key appears twice")
    return built


def _refuse_ext(code: int, _data: bytes) -> Any:
    raise ValueError(f"ext type {code} is not part of an envelope")


def _build(header: dict[str, Any], body: bytes) -> Envelope:
    known = {name: header.pop(name) for name in _NAMES if name in header}
    for name, value in known.items():
        if type(value) not in _TYPES[name]:
            raise BadEnvelope(f"`{name}` has the wrong type")
    for name in _NEEDED:
        if name not in known:
            raise BadEnvelope(f"`{name}` is missing")
    _check_values(known, len(body))
    known["priority"] = Priority(known["priority"])
    if "lane" in known:
        known["lane"] = Lane(known["lane"])
    if known.get("model_span") is not None:
        known["model_span"] = tuple(known["model_span"])
    return Envelope(body=body, extra=header, **known)


def _check_values(known: dict[str, Any], body_bytes: int) -> None:
    if not is_request_id(known["id"]):
        raise BadEnvelope("`id` is not a request id")
    if known["priority"] not in Priority._value2member_map_:
        raise BadEnvelope("`priority` is not one of ours")
    instants = (known["accepted_at"], known["deadline"], known.get("not_before") or 0)
    if not all(0 <= instant < 1e11 for instant in instants):
        raise BadEnvelope("an instant is out of range")
    if known.get("generation", 0) < 0 or known.get("meetings", 0) < 0:
        raise BadEnvelope("a counter is negative")
    if known.get("lane", "open") not in Lane._value2member_map_:
        raise BadEnvelope("`lane` is not one of ours")
    if known.get("input_tokens", 0) < 0 or (known.get("max_tokens") or 0) < 0:
        raise BadEnvelope("a count of tokens is negative")
    if known.get("on_disconnect", "cancel") not in ("cancel", "finish"):
        raise BadEnvelope("`on_disconnect` is neither cancel nor finish")
    blob = known.get("body_blob")
    if blob is not None and (body_bytes or not is_body_key(blob, known["id"])):
        raise BadEnvelope("`body_blob` cannot be where its body lies")
    span = known.get("model_span")
    if span is not None and not _is_span(span, known.get("body_bytes", 0) if blob else body_bytes):
        raise BadEnvelope("`model_span` lies outside the body")
    metadata = known.get("metadata", {})
    if not all(isinstance(part, str) for pair in metadata.items() for part in pair):
        raise BadEnvelope("`metadata` holds something that is not text")


def _is_span(span: list[Any], body_bytes: int) -> bool:
    return (
        len(span) == 2
        and all(type(edge) is int for edge in span)
        and 0 <= span[0] < span[1] <= body_bytes
    )
