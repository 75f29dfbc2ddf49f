"""Anything as one JSON object on one line, whatever bytes a backend has answered.

No reader finds a second line in it: neither one that cuts at LF, nor Python's `splitlines`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

# Parsing builds the whole answer; one of more parts is written as text.
_MAX_CONTAINERS = 500_000
# In valid JSON the first are only between values; the others may stand in texts, and Python's
# `splitlines` ends a line there.
_BREAKS = re.compile(rb"[\r\n][ \t\r\n]*+")
_SEPARATORS = {
    b"\xc2\x85": b"\\u0085",
    b"\xe2\x80\xa8": b"\\u2028",
    b"\xe2\x80\xa9": b"\\u2029",
}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def one_line(content: Mapping[str, Any]) -> bytes:
    """Return `content` as a line with its end; values may be those of `json_value`."""
    line = orjson.dumps(content)
    for separator, escaped in _SEPARATORS.items():
        line = line.replace(separator, escaped)
    return line + b"\n"


def json_value(body: bytes | None) -> Any:
    """Return JSON with its bytes kept but for line breaks; anything else as text."""
    if body is None:
        return None
    if not _is_json(body):
        return body.decode(errors="replace")
    if b"\n" in body or b"\r" in body:
        body = _BREAKS.sub(b"", body)
    return orjson.Fragment(body)


def _is_json(body: bytes) -> bool:
    try:
        _loads(body)
    except ValueError:
        return False
    return True


def members_in(body: bytes) -> Mapping[str, Any]:
    """Return the members of the JSON object in `body`; none where it is something else."""
    try:
        parsed = _loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _loads(body: bytes) -> Any:
    """Return the value in `body`; it may hold half a surrogate pair. Raises ValueError."""
    if body.count(b"[") + body.count(b"{") > _MAX_CONTAINERS:
        raise ValueError("too many parts")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if not _SURROGATE.search(body):
            raise
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("too deep") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def sound_text(text: str) -> str:
    """Return `text` with half surrogate pairs, which no JSON in UTF-8 can hold, replaced."""
    return text.encode(errors="replace").decode()
