"""What a head must look like before a route sees it."""

from __future__ import annotations

import pytest

from api.framing import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    check_head,
    check_unfinished,
)
from schemas.errors import RequestError

Headers = list[tuple[bytes, bytes]]
HOST: Headers = [(b"host", b"a")]


def _refusal(version: str, target: bytes, headers: Headers) -> str | None:
    try:
        check_head(version, target, headers)
    except RequestError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "host",
    [
        "a",
        "127.0.0.1:8080",
        "[::1]",
        "[::ffff:10.0.0.1]:80",
        "gpu_1.lan",
        "xn--bcher-kva.example:443",
    ],
)
def test_a_host_with_or_without_a_port_passes(host: str) -> None:
    assert _refusal("1.1", b"/v1/models", [(b"host", host.encode())]) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a/?x=",
        "a#",
        "@b",
        "a@b",
        "a b",
        "a:b",
        "a:",
        "a:123456",
        "[a",
        "a,b",
        "bücher",
        "a\\b",
        "a%2f",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    assert _refusal("1.1", b"/", [(b"host", host.encode())]) == "bad_request"


@pytest.mark.parametrize("headers", [[], [*HOST, *HOST], [*HOST, (b"host", b"b")]], ids=len)
def test_there_is_exactly_one_host(headers: Headers) -> None:
    assert _refusal("1.1", b"/", headers) == "bad_request"


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "xchunked", "chunked, chunked", ""])
def test_the_only_transfer_coding_is_chunked(coding: str) -> None:
    headers = [*HOST, (b"transfer-encoding", coding.encode())]
    assert _refusal("1.1", b"/", headers) == "bad_request"


def test_chunks_pass_but_not_in_http_1_0() -> None:
    headers = [*HOST, (b"transfer-encoding", b"Chunked")]
    assert _refusal("1.1", b"/", headers) is None
    assert _refusal("1.0", b"/", headers) == "bad_request"


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_other_versions_are_refused(version: str) -> None:
    assert _refusal(version, b"/", HOST) == "bad_request"


@pytest.mark.parametrize("target", [b"/", b"*", b"//v1/requests", b"http://other/v1/models?x"])
def test_a_target_with_a_path_passes(target: bytes) -> None:
    assert _refusal("1.1", target, HOST) is None


@pytest.mark.parametrize("target", [b"http://other", b"http:///x", b"@other", b"other:443", b""])
def test_a_target_without_a_path_is_refused(target: bytes) -> None:
    assert _refusal("1.1", target, HOST) == "bad_request"


def test_each_limit_holds_to_the_byte() -> None:
    longest = b"/" * MAX_TARGET_BYTES
    assert _refusal("1.1", longest, HOST) is None
    assert _refusal("1.1", longest + b"/", HOST) == "uri_too_long"
    most = [*HOST, *[(b"x", b"1")] * (MAX_HEADERS - 1)]
    assert _refusal("1.1", b"/", most) is None
    assert _refusal("1.1", b"/", [*most, (b"x", b"1")]) == "headers_too_large"
    # `host: a` and a line end are 9 bytes; `x: ` and a line end 5.
    largest = [*HOST, (b"x", b"v" * (MAX_HEADER_BYTES - 9 - 5))]
    assert _refusal("1.1", b"/", largest) is None
    assert _refusal("1.1", b"/", [*largest, (b"y", b"")]) == "headers_too_large"


def test_a_head_that_never_ends_is_refused_for_what_is_too_long() -> None:
    both = MAX_TARGET_BYTES + MAX_HEADER_BYTES
    check_unfinished(b"/", both)
    with pytest.raises(RequestError, match="headers are over"):
        check_unfinished(b"/", both + 1)
    with pytest.raises(RequestError, match="Path and query are over"):
        check_unfinished(b"/" * (MAX_TARGET_BYTES + 1), both + 1)
