"""A slow client is served as long as it is honest, and cut off when it is not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.e2e.door import Door, open_door
from tests.e2e.wire import ask_on, open_wire, read_to_end, send_all, statuses
from tests.fakes.stack import Setup

# Short enough to be waited for, longer than a stall of a busy machine.
HEADER_S, BODY_S, KEEP_ALIVE_S = 1.0, 1.5, 2.0
# The server looks each second, and lingers one for a client that it has refused.
LATE_S = 8.0
GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    limits = {"header_timeout_s": HEADER_S, "body_timeout_s": BODY_S, "keep_alive_s": KEEP_ALIVE_S}
    folder = tmp_path_factory.mktemp("slow")
    with open_door(folder, Setup(server=limits), ["echo", "slow-3000"]) as opened:
        yield opened


def _ended(wire: socket.socket, drip: bytes = b"") -> tuple[bytes, float]:
    """Send one byte of `drip` at a time until the server closes; what it said, and when."""
    began, told = time.monotonic(), b""
    wire.settimeout(0.3)
    for byte in (*drip, *[0] * 1_000):
        if drip:
            send_all(wire, [bytes([byte])])
        try:
            part = wire.recv(65_536)
        except TimeoutError:
            assert time.monotonic() - began < LATE_S, told
            continue
        except ConnectionError:
            break
        told += part
        if not part:
            break
    return told, time.monotonic() - began


SLOW = {
    "a part of the request line": (b"GET /v1/mo", b""),
    "a part of the headers": (GET + b"X", b""),
    "headers byte by byte": (GET, b"X: " + b"x" * 1_000),
    "a part of a body": (POST + b"Content-Length: 100\r\n\r\n{", b""),
    "a body byte by byte": (POST + b"Content-Length: 100\r\n\r\n", b" " * 1_000),
    "a part of a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n5", b""),
}


def test_what_does_not_arrive_in_time_is_refused(door: Door) -> None:
    with ThreadPoolExecutor(len(SLOW)) as pool:
        ends = {name: pool.submit(_sent_slowly, door, *SLOW[name]) for name in SLOW}
    for case, end in ends.items():
        answer, after_s = end.result()
        assert statuses(answer) == [408], case
        assert b'"code":"request_timeout"' in answer, case
        assert after_s > (BODY_S if SLOW[case][0].startswith(b"POST") else HEADER_S), case
    door.assert_well()


def _sent_slowly(door: Door, first: bytes, drip: bytes) -> tuple[bytes, float]:
    with closing(open_wire(door.stack.url)) as wire:
        wire.sendall(first)
        return _ended(wire, drip)


def test_a_client_that_says_nothing_is_closed_without_a_word(door: Door) -> None:
    with closing(open_wire(door.stack.url)) as wire:
        assert _ended(wire)[0] == b""


def test_an_idle_connection_is_closed_and_one_in_use_is_not(door: Door) -> None:
    with closing(open_wire(door.stack.url, LATE_S)) as wire:
        for _ in range(4):
            assert ask_on(wire, [GET, b"\r\n"]).status == 200
            time.sleep(KEEP_ALIVE_S / 3)
        told, after_s = _ended(wire)
    assert told == b""
    assert after_s > KEEP_ALIVE_S / 3


def test_a_further_request_has_the_same_time_from_its_first_byte(door: Door) -> None:
    with closing(open_wire(door.stack.url, LATE_S)) as wire:
        assert ask_on(wire, [GET, b"\r\n"]).status == 200
        wire.sendall(b"GET /v1/mo")
        assert statuses(_ended(wire)[0]) == [408]


def test_a_held_call_may_last_longer_than_any_of_these(door: Door) -> None:
    began = time.monotonic()
    told = door.chat("slow-3000")
    assert told.status == 200, told
    assert time.monotonic() - began > max(HEADER_S, BODY_S, KEEP_ALIVE_S)


def test_a_slow_upload_at_an_honest_rate_is_served(door: Door) -> None:
    padding = b" " * 6_000
    body = b'{"model": "echo", "messages": []' + padding + b"}"
    head = POST + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with closing(open_wire(door.stack.url, LATE_S)) as wire:
        began = time.monotonic()
        wire.sendall(head)
        for start in range(0, len(body), 600):
            wire.sendall(body[start : start + 600])
            time.sleep(BODY_S * 1.3 / 10)
        assert time.monotonic() - began > BODY_S
        assert statuses(read_to_end(wire)) == [200]
