"""HTTP as a test needs it: exact bytes out, the whole answer back, also from a closing server."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.anthropic_errors import AnthropicError, error_type
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
        """Assert that this is the refusal `code`, in either shape and as the table has it."""
        assert self.status == DOOR_ERRORS[code].status, self
        assert code_of(self.json) == code, self
        error = self.json["error"]
        if "type" in self.json:
            AnthropicError.model_validate(self.json, extra="forbid")
            assert error["type"] == error_type(self.status)
        else:
            assert set(error) == {"message", "type", "param", "code"}
            assert error["type"] == DOOR_ERRORS[code].type
        assert error["message"]
        final = self.headers.get("x-should-retry") == "false"
        assert final == DOOR_ERRORS[code].final
        assert ("retry-after" in self.headers) == (DOOR_ERRORS[code].retry_after_s is not None)


def code_of(content: Any) -> str:
    """Return the code of a refusal in OpenAI's shape or in Anthropic's."""
    error = content["error"]
    code: str = error["details"]["error_code"] if "details" in error else error["code"]
    return code


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
    host = urlsplit(url).hostname
    return ask_bytes(url, [f"{head}\r\nHost: {host}\r\n\r\n".encode(), *parts])


def ask_bytes(url: str, parts: Iterable[bytes]) -> Told:
    """Send exactly these bytes until the server has heard enough; return its first answer."""
    with open_wire(url) as wire:
        return ask_on(wire, parts)


def ask_on(wire: socket.socket, parts: Iterable[bytes]) -> Told:
    """Send exactly these bytes on an open connection; return the first answer to them."""
    send_all(wire, parts)
    response = http.client.HTTPResponse(wire)
    try:
        response.begin()
        return _told(response)
    finally:
        response.close()


def open_wire(url: str, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """Connect, and say nothing yet."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)


def send_all(wire: socket.socket, parts: Iterable[bytes]) -> None:
    """Send until the server closes; its answer is still to be read then."""
    try:
        for part in parts:
            wire.sendall(part)
    except ConnectionError:
        pass


def read_to_end(wire: socket.socket) -> bytes:
    """Return everything until the server closes. Raises TimeoutError when it does not."""
    told = b""
    try:
        while part := wire.recv(65_536):
            told += part
    except ConnectionError:
        pass
    return told


def statuses(told: bytes) -> list[int]:
    """Return the status of each answer in `told`."""
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d{3}) ", told)]


def chunked(size: int, chunk: bytes) -> Iterable[bytes]:
    """Return `size` bytes or a little more in HTTP's chunked coding."""
    for _ in range(-(-size // len(chunk))):
        yield f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    yield b"0\r\n\r\n"


def _told(response: http.client.HTTPResponse) -> Told:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Told(response.status, headers, response.read())
