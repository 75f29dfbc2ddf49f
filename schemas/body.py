"""Reading a client's JSON once, keeping every byte as sent.

The parse finds what routing needs; the spans let the worker replace exactly the model's bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.errors import RequestError

MAX_DEPTH = 64
# A body of 8 MiB can hold millions of empty lists, each 60 times its size once parsed.
MAX_CONTAINERS = 100_000
MAX_MEMBERS = 1_000

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_KEY = re.compile(rb"[\s,]*+(" + _STRING + rb")\s*+:\s*+")
_SCALAR = re.compile(rb"(?:" + _STRING + rb'|[^,{}\[\]\s"]++)')
_UP_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object as sent: its bytes, its parsed members, the byte range of each value."""

    raw: bytes
    members: dict[str, Any]
    spans: dict[str, Span]

    def part(self, key: str) -> bytes:
        """Return the bytes of the value at `key`, exactly as sent."""
        start, end = self.spans[key]
        return self.raw[start:end]

    def inner(self, key: str, what: str) -> JsonObject:
        """Return the object at `key` by itself, without parsing it again; see `read_object`.

        Raises RequestError `invalid_body` or `duplicate_key`.
        """
        members, raw = self.members[key], self.part(key)
        _check_members(members, what)
        return JsonObject(raw, members, _scan(raw, what))


def read_object(raw: bytes, what: str = "The body") -> JsonObject:
    """Return the one JSON object in `raw`.

    Raises RequestError `invalid_json`, `invalid_body` (not an object, too deep, too many parts)
    or `duplicate_key`; `what` names the thing in the sentence.
    """
    if not raw.strip():
        raise RequestError("invalid_json", f"{what} is empty; send a JSON object.")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise RequestError("invalid_json", f"{what} starts with a byte order mark; remove it.")
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise RequestError("invalid_body", f"{what} has more than {MAX_CONTAINERS} parts.")
    members = _parse(raw, what)
    return JsonObject(raw, members, _scan(raw, what))


def with_member(raw: bytes, key: str, value: str | bool | dict[str, bool]) -> bytes:
    """Return the object `raw` with one more member in front; it must not have it yet."""
    opening = raw.index(b"{") + 1
    member = orjson.dumps(key) + b":" + orjson.dumps(value)
    rest = raw[opening:]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return raw[:opening] + member + comma + rest


def _parse(raw: bytes, what: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestError("invalid_json", f"{what} is not valid JSON: {error}.") from error
    _check_members(parsed, what)
    members: dict[str, Any] = parsed
    return members


def _check_members(parsed: Any, what: str) -> None:
    if not isinstance(parsed, dict):
        raise RequestError("invalid_body", f"{what} must be a JSON object.")
    if len(parsed) > MAX_MEMBERS:
        raise RequestError("invalid_body", f"{what} has more than {MAX_MEMBERS} members.")


def _scan(raw: bytes, what: str) -> dict[str, Span]:
    """Return the span of each top-level value; `raw` is known to be one valid object."""
    spans: dict[str, Span] = {}
    position = raw.index(b"{") + 1
    while found := _KEY.match(raw, position):
        key = orjson.loads(found[1])
        if key in spans:
            raise RequestError("duplicate_key", f"{what} has the key {key!r} twice.", param=key)
        start = found.end()
        position = _value_end(raw, start, what)
        spans[key] = (start, position)
    return spans


def _value_end(raw: bytes, start: int, what: str) -> int:
    if raw[start] not in b"{[":
        scalar = _SCALAR.match(raw, start)
        assert scalar is not None  # noqa: S101  because the parser has accepted these bytes
        return scalar.end()
    depth, position = 1, start + 1
    while depth:
        gap = _UP_TO_BRACKET.match(raw, position)
        assert gap is not None  # noqa: S101  because the pattern matches the empty text too
        depth += 1 if raw[gap.end()] in b"{[" else -1
        if depth >= MAX_DEPTH:
            raise RequestError("invalid_body", f"{what} is nested deeper than {MAX_DEPTH}.")
        position = gap.end() + 1
    return position
