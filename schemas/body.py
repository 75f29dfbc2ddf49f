"""Reading a client's JSON once, keeping every byte as sent.

The parse finds what routing needs; the spans let the worker replace exactly the model's bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from schemas.errors import RequestError

MAX_DEPTH = 64
# A body of 8 MiB can hold millions of empty lists, each 60 times its size once parsed.
MAX_CONTAINERS = 100_000
MAX_MEMBERS = 1_000

_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_KEY = re.compile(rb"[\s,]*+(" + _TEXT.pattern + rb")\s*+:\s*+")
_SCALAR = re.compile(rb'[^,{}\[\]\s"]++')
_END = re.compile(rb"[\s,]*+}")
_OPENING, _QUOTE = ord("{"), ord('"')
_COMMA = re.compile(rb"\s*+,\s*+")
# Texts that are neither short nor plain are passed over by `text_end`: a regular expression looks
# at about 100 MB in a second, `find` at many GB.
GAP = re.compile(rb'[^"\[\]{}]*+(?:"[^"\\]{0,99}+"[^"\[\]{}]*+)*+')

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
        return JsonObject(raw, members, _scan(raw, 0, _At(what)).spans)


def read_object(raw: bytes, what: str = "The body") -> JsonObject:
    """Return the one JSON object in `raw`.

    Raises RequestError `invalid_json`, `invalid_body` (not an object, too deep, too many parts)
    or `duplicate_key`; `what` names the thing in the sentence.
    """
    members = _checked(raw, what)
    return JsonObject(raw, members, _scan(raw, raw.index(b"{"), _At(what)).spans)


def read_nested(
    raw: bytes, key: str, what: str, what_is_inside: str
) -> tuple[JsonObject, JsonObject | None]:
    """Return the object in `raw` and the one at its `key`, None where there is another value.

    Each byte is looked at once. Raises as `read_object`, of the one and of the other.
    """
    members = _checked(raw, what)
    at = _At(what, inside=key, what_is_inside=what_is_inside)
    spans, inner_spans, _ = _scan(raw, raw.index(b"{"), at)
    whole = JsonObject(raw, members, spans)
    if inner_spans is None:
        return whole, None
    inner = members[key]
    _check_members(inner, what_is_inside)
    return whole, JsonObject(whole.part(key), inner, inner_spans)


def _checked(raw: bytes, what: str) -> dict[str, Any]:
    """Return the members of the object in `raw`, of which only the top level's keys are unsure."""
    if not raw.strip():
        raise RequestError("invalid_json", f"{what} is empty; send a JSON object.")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise RequestError("invalid_json", f"{what} starts with a byte order mark; remove it.")
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise RequestError("invalid_body", f"{what} has more than {MAX_CONTAINERS} parts.")
    return _parse(raw, what)


def without_member(whole: JsonObject, key: str) -> bytes:
    """Return the bytes of `whole` without its member `key` and one comma beside it.

    They stay as they are where the key is written with escapes.
    """
    start, end = whole.spans[key]
    name, raw = orjson.dumps(key), whole.raw
    at = raw.rfind(name, 0, start)
    if at < 0 or raw[at + len(name) : start].strip() != b":":
        return raw
    before, after = raw[:at], raw[end:]
    if following := _COMMA.match(after):
        return before + after[following.end() :]
    return before.rstrip().removesuffix(b",") + after


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
        raise RequestError("invalid_json", f"{what} is {_fault(raw, error)}.") from error
    _check_members(parsed, what)
    members: dict[str, Any] = parsed
    return members


def _fault(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """Return what is wrong; of text in another encoding orjson does not say where."""
    try:
        raw.decode()
    except UnicodeDecodeError as bad:
        return f"not UTF-8, at byte {bad.start}"
    return f"not valid JSON: {error}"


def _check_members(parsed: Any, what: str) -> None:
    if not isinstance(parsed, dict):
        raise RequestError("invalid_body", f"{what} must be a JSON object.")
    if len(parsed) > MAX_MEMBERS:
        raise RequestError("invalid_body", f"{what} has more than {MAX_MEMBERS} members.")


class _At(NamedTuple):
    """Where a scan is: what it looks through, from where spans count, how deep that lies.

    It looks into the value `inside` as well.
    """

    what: str
    origin: int = 0
    depth: int = 0
    inside: str | None = None
    what_is_inside: str = ""


class _Scanned(NamedTuple):
    """The spans of an object's values, of those of its inner one, and where the object ends."""

    spans: dict[str, Span]
    inner: dict[str, Span] | None
    end: int


def _scan(raw: bytes, first: int, at: _At) -> _Scanned:
    """Scan the object that begins at `first`, which is known to be valid."""
    spans: dict[str, Span] = {}
    inner: dict[str, Span] | None = None
    position = first + 1
    while found := _KEY.match(raw, position):
        key = orjson.loads(found[1])
        if key in spans:
            raise RequestError("duplicate_key", f"{at.what} has the key {key!r} twice.", param=key)
        start = found.end()
        if key == at.inside and raw[start] == _OPENING:
            deeper = _scan(raw, start, _At(at.what_is_inside, start, at.depth + 1))
            inner, position = deeper.spans, deeper.end
        else:
            position = _value_end(raw, start, at)
        spans[key] = (start - at.origin, position - at.origin)
    end = _END.match(raw, position)
    assert end is not None  # noqa: S101  because the parser has accepted these bytes
    return _Scanned(spans, inner, end.end())


def _value_end(raw: bytes, start: int, at: _At) -> int:
    if raw[start] == _QUOTE:
        return text_end(raw, start)
    if raw[start] not in b"{[":
        return end_of(_SCALAR, raw, start)
    depth, position = at.depth + 1, start + 1
    while depth > at.depth:
        position = end_of(GAP, raw, position)
        if raw[position] == _QUOTE:
            position = text_end(raw, position)
            continue
        depth += 1 if raw[position] in b"{[" else -1
        if depth >= MAX_DEPTH:
            raise RequestError("invalid_body", f"{at.what} is nested deeper than {MAX_DEPTH}.")
        position += 1
    return position


def text_end(raw: bytes, start: int) -> int:
    """Return where the text in quotes ends that begins at `start`; it is known to end."""
    end = raw.find(b'"', start + 1)
    if raw.find(b"\\", start + 1, end) < 0:
        return end + 1
    return end_of(_TEXT, raw, start)


def end_of(pattern: re.Pattern[bytes], raw: bytes | bytearray, start: int) -> int:
    """Return where the match of `pattern` ends that begins at `start`; it is known to match."""
    found = pattern.match(raw, start)
    assert found is not None  # noqa: S101  because nobody asks for what may not match
    return found.end()
