"""The input of `penstock submit`: JSON lines, read one by one, as native requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from schemas.errors import ConfigError

_MAX_LINE_BYTES = 16 * 1024 * 1024
_WHOLE_REQUEST_KEYS = frozenset({"body", "endpoint"})
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is set where a line says nothing of it."""

    model: str | None = None
    endpoint: str | None = None
    priority: str | None = None
    timeout_s: float | None = None

    def request(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return the native request of a line: the line itself, or a bare body wrapped."""
        request: dict[str, Any] = (
            dict(line) if _WHOLE_REQUEST_KEYS & line.keys() else {"body": line}
        )
        body = request.get("body")
        if self.model is not None and "model" not in request and isinstance(body, dict):
            request["body"] = {"model": self.model, **body}
        if self.endpoint is not None:
            request.setdefault("endpoint", self.endpoint)
        if self.priority is not None:
            request.setdefault("priority", self.priority)
        if self.timeout_s is not None and "deadline" not in request:
            request.setdefault("timeout_s", self.timeout_s)
        return request


@dataclass(frozen=True, slots=True)
class Line:
    """A request and the number of its line, from 1; the same line always gives the same bytes."""

    number: int
    request: bytes


def opened(file: str) -> BinaryIO:
    """Return the file, or standard input for `-`. Raises ConfigError."""
    try:
        # Not sys.stdin: a thread that waits in it would disturb the end of the process.
        return open(0, "rb", closefd=False) if file == "-" else Path(file).open("rb")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None


def counted(stream: BinaryIO, file: str) -> int | None:
    """Return how many requests a file holds, None for a pipe. Raises ConfigError for a bad line.

    A file is looked through before anything of it is submitted; a pipe cannot be.
    """
    if not stream.seekable():
        return None
    start = stream.tell()
    count = sum(1 for _ in parsed(stream, file))
    stream.seek(start)
    return count


def parsed(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line that is not blank. Raises ConfigError."""
    number = 0
    while line := stream.readline(_MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > _MAX_LINE_BYTES:
            raise ConfigError(f"{file}:{number}: longer than {_MAX_LINE_BYTES} bytes.")
        line = line.removeprefix(_BOM) if number == 1 else line
        if not line.strip():
            continue
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{file}:{number}: not valid JSON: {error}.") from None
        if not isinstance(content, dict):
            raise ConfigError(f"{file}:{number}: expected a JSON object.")
        yield number, content


def lines(stream: BinaryIO, file: str, defaults: Defaults) -> Iterator[Line]:
    """Yield the requests of a file. Raises ConfigError."""
    for number, content in parsed(stream, file):
        yield Line(number, orjson.dumps(defaults.request(content)))
