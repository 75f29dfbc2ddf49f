"""An upload of many requests as a client makes it: lines go up while answers come down."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.e2e.door import Door
from tests.e2e.wire import Told, open_wire

BULK = "/v1/requests:bulk"
NDJSON = {"Content-Type": "application/x-ndjson"}


def line(tag: str = "", model: str = "echo", **fields: Any) -> bytes:
    """Return a line, without its end."""
    body = {"model": model, "user": tag, "messages": [{"role": "user", "content": "hello"}]}
    return json.dumps({"body": body, **fields}).encode()


def upload(door: Door, body: bytes, headers: Mapping[str, str] = NDJSON) -> Told:
    """Send a whole body, then read the whole answer."""
    return door.ask("POST", BULK, body, headers)


def answers(told: Told) -> list[dict[str, Any]]:
    """Return the lines of an answer, which must be whole, without its summary."""
    assert told.status == 200, told
    assert told.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(each) for each in told.body.splitlines()]
    summary = found.pop()
    accepted = sum("id" in each for each in found)
    assert summary == {
        "object": "bulk.summary",
        "accepted": accepted,
        "refused": len(found) - accepted,
    }
    return found


class Upload:
    """One that is written piece by piece and read line by line."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self._read = wire.makefile("rb")
        self.head: list[bytes] = []

    def send(self, lines: Iterable[bytes]) -> None:
        """Send these lines as one chunk."""
        self.send_bytes(b"".join(each + b"\n" for each in lines))

    def send_bytes(self, data: bytes) -> None:
        """Send exactly these bytes as one chunk."""
        self.wire.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end(self) -> None:
        """End the body."""
        self.wire.sendall(b"0\r\n\r\n")

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield the answer's lines until its end; where it was cut, until there."""
        if not self.head:
            self.head = [*iter(self._read.readline, b"\r\n")]
        while size := int(self._read.readline() or b"0", 16):
            yield from map(json.loads, self._read.read(size).splitlines())
            self._read.readline()


@contextmanager
def begun(door: Door, headers: Mapping[str, str] = NDJSON) -> Iterator[Upload]:
    """Begin an upload: its head is sent."""
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {BULK} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{told}\r\n"
    with open_wire(door.stack.url) as wire:
        wire.sendall(head.encode())
        yield Upload(wire)
