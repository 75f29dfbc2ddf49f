"""A reader of server-sent events for tests: what it got, by number, and how that ended."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Event:
    """One event; one that is a comment has neither name nor data."""

    number: int | None
    name: str | None
    data: str
    comment: str | None = None

    @property
    def json(self) -> Any:
        """The data, parsed."""
        return json.loads(self.data)

    @property
    def text(self) -> str:
        """What a chunk of a chat or completion says."""
        if self.name is not None or self.comment is not None or not self.data.startswith("{"):
            return ""
        return "".join(
            choice.get("delta", {}).get("content") or choice.get("text") or ""
            for choice in self.json.get("choices", ())
        )


class Reader:
    """A stream that is being read."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def __iter__(self) -> Iterator[Event]:
        """Yield the events until the stream ends; one without its blank line is dropped."""
        lines: list[str] = []
        while raw := self._response.readline():
            line = raw.decode().rstrip("\n")
            if line:
                lines.append(line)
            elif lines:
                yield _event(lines)
                lines = []

    def rest(self) -> bytes:
        """Return all bytes that are left."""
        return self._response.read()


@contextmanager
def reading(
    url: str,
    method: str,
    path: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Iterator[Reader]:
    """Open a stream; leaving the block closes its connection."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=timeout_s)
    try:
        raw = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if raw is not None else {}
        connection.request(method, path, raw, {**sent, **(headers or {})})
        yield Reader(connection.getresponse())
    finally:
        connection.close()


def _event(lines: list[str]) -> Event:
    number, name, data, comment = None, None, list[str](), None
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            number = int(value)
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not field:
            comment = value
    return Event(number, name, "\n".join(data), comment)
