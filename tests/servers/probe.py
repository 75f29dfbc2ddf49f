"""Asks a server, by bare sockets, whether it is there and which version it is."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit


class NotReady(RuntimeError):
    """The server did not answer in time."""


def amqp_version(url: str) -> str | None:
    """RabbitMQ's version from its greeting, or None while it does not greet."""
    greeting = _exchange(url, 5672, b"AMQP\x00\x00\x09\x01", b"\xce")
    found = re.search(rb"\x07versionS\x00\x00\x00.([0-9][0-9A-Za-z.+-]*)", greeting, re.DOTALL)
    return found[1].decode() if found else None


def redis_version(url: str) -> str | None:
    """Redis's version, or None while it does not answer."""
    found = re.search(r"redis_version:(\S+)", redis_command(url, "INFO server"))
    return found[1] if found else None


def redis_command(url: str, command: str) -> str:
    """The raw reply to one inline `command`; empty while the server does not answer."""
    password = urlsplit(url).password
    login = f"AUTH {urlsplit(url).username or 'default'} {password}\r\n" if password else ""
    return _exchange(url, 6379, f"{login}{command}\r\nQUIT\r\n".encode(), None).decode()


def answers_http(url: str) -> bool:
    """Tell whether an HTTP server answers, whatever it says."""
    sent = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return _exchange(url, 80, sent, None).startswith(b"HTTP/1.1 ")


def wait_until(ready: Callable[[], object], seconds: float, why: Callable[[], str]) -> None:
    """Return once `ready()` is true. Raises NotReady with `why()` after `seconds`."""
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise NotReady(f"not ready after {seconds:.0f} s:\n{why()}")
        time.sleep(0.05)


def _exchange(url: str, default_port: int, sent: bytes, last: bytes | None) -> bytes:
    """Send `sent` and read up to `last` at the end of what arrived, or until the server closes."""
    parts = urlsplit(url)
    received = b""
    try:
        address = (parts.hostname or "127.0.0.1", parts.port or default_port)
        with socket.create_connection(address, timeout=2) as connection:
            connection.sendall(sent)
            while chunk := connection.recv(65536):
                received += chunk
                if last and received.endswith(last):
                    break
    except OSError:
        return b""
    return received
