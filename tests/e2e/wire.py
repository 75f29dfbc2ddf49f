"""HTTP as a test needs it: exact bytes out, the whole answer back, also from a closing server."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import DOOR_ERRORS

TIMEOUT_S = 30.0
JSON = {"Content-Type": "application/json"}
# Told by the HTTP server itself, before there is an operation.
PROTOCOL_REFUSALS = (
    "bad_request",
    "request_timeout",
    "uri_too_long",
    "headers_too_large",
    "too_many_connections",
)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def assert_refused(self, code: str) -> None:
        """Assert that this is the refusal `code`, in OpenAI's shape and as the table has it."""
        assert self.status == DOOR_ERRORS[code].status, self
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["code"], error["type"]) == (code, DOOR_ERRORS[code].type), self
        assert error["message"]
        final = self.headers.get("x-should-retry") == "false"
        assert final == DOOR_ERRORS[code].final
        assert ("retry-after" in self.headers) == (DOOR_ERRORS[code].retry_after_s is not None)


def ask(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = JSON,
    timeout_s: float = TIMEOUT_S,
) -> Told:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers))
        return _told(connection.getresponse())
    finally:
        connection.close()


def ask_raw(url: str, head: str, parts: Iterable[bytes]) -> Told:
    """Send a head and then parts until the server has heard enough; return what it answered."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as wire:
        wire.sendall(f"{head}\r\nHost: {host}\r\n\r\n".encode())
        try:
            for part in parts:
                wire.sendall(part)
        except ConnectionError:
            pass  # a server may close while it is still being sent to; its answer is read below
        response = http.client.HTTPResponse(wire)
        try:
            response.begin()
            return _told(response)
        finally:
            response.close()


def chunked(size: int, chunk: bytes) -> Iterable[bytes]:
    """Return `size` bytes or a little more in HTTP's chunked coding."""
    for _ in range(-(-size // len(chunk))):
        yield f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    yield b"0\r\n\r\n"


def _told(response: http.client.HTTPResponse) -> Told:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Told(response.status, headers, response.read())
