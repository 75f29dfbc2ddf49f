"""What the head of a request must look like before any route sees it: HTTP/1.1, strictly.

The parser refuses what is no HTTP. This refuses what two parsers could read in two ways (a proxy
before us, or code behind us), and what is larger than a request needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httptools

from schemas.errors import RequestError

MAX_TARGET_BYTES = 16 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100

_VERSIONS = ("1.1", "1.0")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# What a header needs beside its name and its value: colon, blank, line end.
_HEADER_EXTRA = 4


def check_head(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Check a whole head; header names in lower case.

    Raises RequestError `bad_request`, `uri_too_long` or `headers_too_large`.
    """
    if version not in _VERSIONS:
        raise RequestError("bad_request", f"HTTP/{version} is not spoken here; use HTTP/1.1.")
    _check_target(target)
    if len(headers) > MAX_HEADERS:
        raise RequestError("headers_too_large", f"The request has over {MAX_HEADERS} headers.")
    size = 0
    hosts: list[bytes] = []
    for name, value in headers:
        size += len(name) + len(value) + _HEADER_EXTRA
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            _check_coding(version, value)
    if size > MAX_HEADER_BYTES:
        raise RequestError(
            "headers_too_large", f"The request's headers are over {MAX_HEADER_BYTES} bytes."
        )
    if len(hosts) != 1:
        raise RequestError("bad_request", f"Send one Host header; this request has {len(hosts)}.")
    if not _HOST.fullmatch(hosts[0]):
        raise RequestError("bad_request", "The Host header is not a host with or without a port.")


def check_unfinished(target: bytes, size: int) -> None:
    """Check what has arrived so far of a head that goes on: `size` bytes.

    Raises RequestError `uri_too_long` or `headers_too_large`.
    """
    if len(target) > MAX_TARGET_BYTES:
        raise RequestError("uri_too_long", f"Path and query are over {MAX_TARGET_BYTES} bytes.")
    if size > MAX_TARGET_BYTES + MAX_HEADER_BYTES:
        raise RequestError(
            "headers_too_large", f"The request's headers are over {MAX_HEADER_BYTES} bytes."
        )


def _check_target(target: bytes) -> None:
    if len(target) > MAX_TARGET_BYTES:
        raise RequestError("uri_too_long", f"Path and query are over {MAX_TARGET_BYTES} bytes.")
    if target.startswith(b"/") or target == b"*":
        return
    try:
        path = httptools.parse_url(target).path
    except httptools.HttpParserInvalidURLError:
        path = None
    if not path:
        raise RequestError("bad_request", "The request's target has no path.")


def _check_coding(version: str, coding: bytes) -> None:
    """Refuse every transfer coding but plain chunks; HTTP/1.0 knows none."""
    if version == "1.0" or coding.lower() != b"chunked":
        raise RequestError("bad_request", "The only Transfer-Encoding taken here is `chunked`.")
