"""Thousands of connections that want nothing: others are served, and memory stays bounded."""

from __future__ import annotations

import http.client
import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.door import Door, open_door
from tests.e2e.wire import ask_on, open_wire, read_to_end
from tests.fakes.process import Process
from tests.fakes.stack import Setup

IDLE, DRIPPING = 5_000, 200
# Long enough for all of them to be open at once, also where connecting is slow.
HEADER_S = 10.0
GROWTH_KIB = 64 * 1024
GET = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def _open_files(soft: int) -> Iterator[None]:
    """Set how many files this process, and one that it starts meanwhile, may have open."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= soft, (
        f"this test opens {soft} files; raise the hard limit (ulimit -Hn), which is {hard}"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    limits = {"header_timeout_s": HEADER_S, "keep_alive_s": HEADER_S}
    with ExitStack() as opened:
        with _open_files(1_024):  # the usual soft limit; the server is to raise its own
            setup = Setup(server=limits)
            served = opened.enter_context(
                open_door(tmp_path, setup, ["echo"], growth_kib=GROWTH_KIB)
            )
        yield served


def test_5000_idle_and_200_dripping_connections_harm_nobody(door: Door) -> None:
    process = door.stack.processes["serve"]
    before = process.memory_kib()
    with _open_files(IDLE + DRIPPING + 500), ExitStack() as opened:
        silent = [opened.enter_context(open_wire(door.stack.url)) for _ in range(IDLE // 2)]
        kept = [opened.enter_context(open_wire(door.stack.url)) for _ in range(IDLE // 2)]
        dripping = [opened.enter_context(open_wire(door.stack.url)) for _ in range(DRIPPING)]
        assert {ask_on(wire, [GET]).status for wire in kept} == {200}
        with _dripping(dripping):
            for _ in range(50):
                told = door.ask("GET", "/v1/models", timeout_s=5)
                assert told.status == 200, told
                assert door.chat("echo").status == 200
            grown = process.memory_kib() - before
            print(f"RSS growth for {IDLE + DRIPPING} connections: {grown} KiB")
            assert grown < GROWTH_KIB
            assert _open(process) > IDLE
            for wire in (*silent, *kept, *dripping):
                _assert_closed(wire)
    assert _open(process) < 200


@contextmanager
def _dripping(wires: Sequence[socket.socket]) -> Iterator[None]:
    """Send a request on each of them, one byte every fifth of a second."""
    stop = threading.Event()

    def drip() -> None:
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 10_000:
            for wire in wires:
                with suppress(OSError):  # the server has closed this one, as it should
                    wire.send(bytes([byte]))
            if stop.wait(0.2):
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _assert_closed(wire: socket.socket) -> None:
    wire.settimeout(HEADER_S * 2)
    read_to_end(wire)  # raises TimeoutError when the server keeps it


def _open(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def test_one_connection_too_many_is_told_so_and_the_others_go_on(tmp_path: Path) -> None:
    most = 20
    with open_door(tmp_path, Setup(server={"max_connections": most}), ["echo"]) as door:
        with ExitStack() as opened:
            wires = [opened.enter_context(open_wire(door.stack.url)) for _ in range(most)]
            assert {ask_on(wire, [GET]).status for wire in wires} == {200}
            for _ in range(3 * most):
                door.ask("GET", "/live").assert_refused("too_many_connections")
            assert {ask_on(wire, [GET]).status for wire in wires} == {200}
        _assert_soon_served(door)


def test_a_server_that_can_open_no_more_files_goes_on_when_it_can(tmp_path: Path) -> None:
    with open_door(tmp_path, Setup(), ["echo"]) as door:
        process = door.stack.processes["serve"]
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (_open(process) + 10, hard))
        with ExitStack() as opened:
            for _ in range(200):
                opened.enter_context(open_wire(door.stack.url)).sendall(GET)
            with pytest.raises((OSError, http.client.HTTPException)):
                door.ask("GET", "/live", timeout_s=2)
        _assert_soon_served(door)


def _assert_soon_served(door: Door) -> None:
    """Assert that, now that the crowd has left, requests are answered again."""
    until = time.monotonic() + 10
    while True:
        with suppress(OSError, http.client.HTTPException):
            if door.chat("echo").status == 200:
                return
        assert time.monotonic() < until, door.stack.logs()
        time.sleep(0.1)
