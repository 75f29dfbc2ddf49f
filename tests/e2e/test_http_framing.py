"""What is no clean HTTP, or too large, is refused before any route sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.e2e.door import Door, open_door
from tests.e2e.wire import ask_bytes, open_wire, read_to_end, send_all, statuses
from tests.fakes.stack import Setup

MIB = 1024 * 1024
GET = "GET /v1/models HTTP/1.1"
POST = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("framing"), Setup(), ["echo"]) as opened:
        yield opened


def _all_told(door: Door, raw: bytes) -> bytes:
    """Send `raw`, and return all that is said until the server closes."""
    with closing(open_wire(door.stack.url, 10)) as wire:
        send_all(wire, [raw])
        return read_to_end(wire)


# Each head is sent without anything added, and then the empty line.
BROKEN = {
    "no Host": GET,
    "two Hosts": f"{GET}\r\nHost: localhost\r\nHost: localhost",
    "two other Hosts": f"{GET}\r\nHost: localhost\r\nhost: b",
    "Host with a path": f"{GET}\r\nHost: a/?x=",
    "Host with a fragment": f"{GET}\r\nHost: a#",
    "Host with a user": f"{GET}\r\nHost: @b",
    "empty Host": f"{GET}\r\nHost:",
    "length and chunks": f"{POST}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    "chunks and length": f"{POST}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
    "two lengths": f"{POST}\r\nContent-Length: 5\r\nContent-Length: 6",
    "negative length": f"{POST}\r\nContent-Length: -5",
    "signed length": f"{POST}\r\nContent-Length: +5",
    "endless length": f"{POST}\r\nContent-Length: {'9' * 40}",
    "gzip coding": f"{POST}\r\nTransfer-Encoding: gzip, chunked",
    "unknown coding": f"{POST}\r\nTransfer-Encoding: xchunked",
    "folded header": f"{GET}\r\nHost: localhost\r\nX: a\r\n b",
    "bare CR": f"{GET}\r\nHost: localhost\r\nX: a\rb",
    "NUL": f"{GET}\r\nHost: localhost\r\nX: a\0b",
    "blank before the colon": f"{GET}\r\nHost: localhost\r\nX : a",
    "no colon": f"{GET}\r\nHost: localhost\r\nX",
    "bare LF": "GET /v1/models HTTP/1.1\nHost: a\n",
    "method FOO": "FOO /v1/models HTTP/1.1\r\nHost: localhost",
    "method get": "get /v1/models HTTP/1.1\r\nHost: localhost",
    "CONNECT": "CONNECT a:443 HTTP/1.1\r\nHost: localhost",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM",
    "HTTP/0.9": "GET /v1/models",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00",
    "target @host": "GET @host HTTP/1.1\r\nHost: localhost",
    "target without a path": "GET http://other HTTP/1.1\r\nHost: localhost",
    "NUL in the target": "GET /v1/\0 HTTP/1.1\r\nHost: localhost",
    "websocket": f"{GET}\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "h2c": f"{GET}\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "h2c with a body": f"{POST}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 45",
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_two_parsers_could_read_differently_is_refused(door: Door, case: str) -> None:
    ask_bytes(door.stack.url, [f"{BROKEN[case]}\r\n\r\n".encode("latin-1")]).assert_refused(
        "bad_request"
    )


@pytest.mark.parametrize("case", ["length and chunks", "h2c with a body", "two Hosts"])
def test_nothing_after_a_refusal_is_taken_for_a_request(door: Door, case: str) -> None:
    smuggled = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2
    told = _all_told(door, f"{BROKEN[case]}\r\n\r\n{smuggled}".encode())
    assert statuses(told) == [400]


HEAD, END = f"{GET}\r\nHost: localhost\r\n".encode(), b"\r\n\r\n"
REST = b" HTTP/1.1\r\nHost: localhost" + END
TOO_MUCH = {
    "a header of 1 MB": (HEAD + b"X: " + b"x" * MIB + END, "headers_too_large"),
    "a header name of 1 MB": (HEAD + b"x" * MIB + b": x" + END, "headers_too_large"),
    "5,000 headers": (HEAD + b"X: y\r\n" * 5_000 + b"\r\n", "headers_too_large"),
    "101 headers": (HEAD + b"X: y\r\n" * 100 + b"\r\n", "headers_too_large"),
    "34 KiB of headers": (HEAD + (b"X: " + b"x" * 1_017 + b"\r\n") * 34 + END, "headers_too_large"),
    "empty lines without end": (b"\r\n" * MIB, "headers_too_large"),
    "a path of 100 kB": (b"GET /" + b"x" * 100_000 + REST, "uri_too_long"),
    "a query of 17 KiB": (b"GET /?" + b"x" * 17_000 + REST, "uri_too_long"),
    "a path of 1 MB": (b"GET /" + b"x" * MIB, "uri_too_long"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_head_that_is_too_large_is_refused(door: Door, case: str) -> None:
    raw, code = TOO_MUCH[case]
    ask_bytes(door.stack.url, [raw]).assert_refused(code)
    door.assert_well()


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("//v1/models", "route_not_found"),
        ("/v1/../admin/v1", "route_not_found"),
        ("/v1/requests/..", "request_not_found"),
        ("/v1/requests/%2e%2e", "request_not_found"),
        ("/v1/requests/%00", "request_not_found"),
        ("/v1/models;x=y", "route_not_found"),
        ("http://other/v1/nothing", "route_not_found"),
        ("/%ff%fe", "route_not_found"),
        ("*", "route_not_found"),
    ],
)
def test_an_odd_target_finds_nothing(door: Door, target: str, code: str) -> None:
    raw = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    ask_bytes(door.stack.url, [raw]).assert_refused(code)


def test_an_absolute_target_is_the_path_in_it(door: Door) -> None:
    raw = b"GET http://other/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    told = ask_bytes(door.stack.url, [raw])
    assert (told.status, told.json["object"]) == (200, "list")


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PROPFIND"])
def test_a_method_that_no_route_takes_is_refused(door: Door, method: str) -> None:
    raw = f"{method} /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    ask_bytes(door.stack.url, [raw]).assert_refused("method_not_allowed")


def test_a_body_that_is_announced_as_too_large_is_refused_unread(door: Door) -> None:
    head = f"{POST}\r\nExpect: 100-continue\r\nContent-Length: {20 * MIB}\r\n\r\n"
    told = _all_told(door, head.encode())
    assert statuses(told) == [413]
    assert b'"code":"body_too_large"' in told


def test_a_body_within_the_cap_is_asked_for(door: Door) -> None:
    body = b'{"model": "echo", "messages": []}'
    head = f"{POST}\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {len(body)}"
    with closing(open_wire(door.stack.url, 10)) as wire:
        wire.sendall(f"{head}\r\n\r\n".encode())
        assert wire.recv(100).startswith(b"HTTP/1.1 100 ")
        wire.sendall(body)
        assert statuses(read_to_end(wire)) == [200]


def test_a_refused_upload_can_be_sent_to_its_end_and_the_refusal_be_read(door: Door) -> None:
    raw = f"{GET}\r\nHost: localhost\r\nX: ".encode() + b"x" * 8 * MIB
    with closing(open_wire(door.stack.url, 10)) as wire:
        wire.sendall(raw)
        assert statuses(read_to_end(wire)) == [431]


def test_refusals_are_counted(door: Door) -> None:
    before = _counted(door, "uri_too_long")
    ask_bytes(door.stack.url, [b"GET /" + b"x" * 20_000]).assert_refused("uri_too_long")
    assert _counted(door, "uri_too_long") == before + 1


def _counted(door: Door, code: str) -> float:
    text = door.ask("GET", "/metrics").body.decode()
    pattern = rf'^penstock_requests_refused_total{{code="{code}"}} (\S+)'
    found = re.search(pattern, text, re.MULTILINE)
    return float(found[1]) if found else 0.0
