"""A streamed request that asks the backend for its usage, whatever the client asked for."""

from __future__ import annotations

from schemas.body import read_object, with_member
from schemas.errors import RequestError

_OPTIONS, _WANTED = "stream_options", "include_usage"


def with_usage(body: bytes) -> tuple[bytes, bool]:
    """Return a JSON body that asks for the usage, and whether it did so before.

    Nothing else of its bytes is changed. What is malformed is left to the backend to refuse.
    """
    try:
        asked = read_object(body)
        if _OPTIONS not in asked.spans:
            return with_member(body, _OPTIONS, {_WANTED: True}), False
        options = asked.members[_OPTIONS]
        if options is None:
            return _replaced(body, asked.spans[_OPTIONS], b'{"include_usage":true}'), False
        if not isinstance(options, dict) or options.get(_WANTED) not in (None, False):
            return body, True
        return _replaced(body, asked.spans[_OPTIONS], _wanting(asked.part(_OPTIONS))), False
    except RequestError:
        return body, True


def _wanting(options: bytes) -> bytes:
    read = read_object(options)
    if _WANTED in read.spans:
        return _replaced(options, read.spans[_WANTED], b"true")
    return with_member(options, _WANTED, value=True)


def _replaced(raw: bytes, span: tuple[int, int], by: bytes) -> bytes:
    start, end = span
    return raw[:start] + by + raw[end:]
