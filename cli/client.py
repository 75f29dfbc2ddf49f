"""The command line's side of the HTTP API."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import aiohttp

from schemas.errors import ConfigError

_PATIENCE_S = 90.0
_PAGE = 100
_ADMIN = "/admin/"
_JSON = {"Content-Type": "application/json"}
_NDJSON = {"Content-Type": "application/x-ndjson"}


class Unreachable(Exception):
    """No server answers at the URL."""


class Refused(Exception):
    """The server answered with an error."""

    def __init__(
        self,
        status: int,
        error: Mapping[str, Any],
        retry_after_s: float | None = None,
        advice: str = "",
    ) -> None:
        self.status = status
        self.code = error.get("code")
        self.retry_after_s = retry_after_s
        super().__init__(str(error.get("message") or f"the server answered {status}") + advice)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is and the key that opens it. Raises ConfigError if neither can be right."""

    url: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts is None:
            raise ConfigError("--url (PENSTOCK_URL) must be an http:// or https:// URL.")
        if parts.username or parts.password:
            raise ConfigError("--url (PENSTOCK_URL) holds a password: use --api-key instead.")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError(
                "the API key holds characters that no key has: look at PENSTOCK_API_KEY."
            )

    @property
    def base(self) -> str:
        """The URL without `/v1`."""
        return self.url.rstrip("/").removesuffix("/v1")


@dataclass(frozen=True, slots=True)
class _Answered:
    status: int
    content: bytes
    retry_after_s: float | None


class Client:
    """Calls over one session; every method may raise Unreachable or Refused."""

    def __init__(self, access: Access, session: aiohttp.ClientSession) -> None:
        self._base = access.base
        self._has_key = access.key is not None
        self._session = session

    async def submit(self, body: bytes, idempotency_key: str) -> dict[str, Any]:
        """Submit one request and return its object; to repeat it with the same key is harmless."""
        headers = {"Idempotency-Key": idempotency_key}
        return await self.ask("POST", "/v1/requests", body, headers)

    async def read(self, request_id: str, wait_s: float = 0) -> dict[str, Any]:
        """Return a request, after at most `wait_s` seconds if it has not ended."""
        return await self.ask("GET", f"/v1/requests/{segment(request_id)}?wait={wait_s:g}")

    async def cancel(self, request_id: str) -> dict[str, Any]:
        """Cancel a request and return it."""
        return await self.ask("POST", f"/v1/requests/{segment(request_id)}/cancel", b"{}")

    async def items(self, path: str) -> list[dict[str, Any]]:
        """Return the items of a list that has no pages."""
        listed = await self.ask("GET", path)
        items: list[dict[str, Any]] = listed["data"]
        return items

    async def pages(
        self, path: str, filters: Mapping[str, str | None], limit: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of a list, page after page, at most `limit`."""
        given = {name: value for name, value in filters.items() if value is not None}
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = await self.ask("GET", f"{path}?{urlencode({**given, 'limit': size})}")
            for item in page["data"]:
                yield item
            if not page.get("has_more") or not page["data"]:
                return
            given["after"] = page["last_id"]
            left = None if left is None else left - len(page["data"])

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make one call and return the JSON object of the answer."""
        answered = await self._send(method, path, body, {**_JSON, **(headers or {})})
        try:
            answer = json.loads(answered.content)
        except ValueError:
            raise self._no_penstock() from None
        if not isinstance(answer, dict):
            raise self._no_penstock()
        if answered.status < 300:
            return answer
        raise self._refused(answered, answer, path)

    async def upload(self, path: str, lines: bytes) -> list[dict[str, Any]]:
        """Send JSON lines and return those of the answer, which may have been cut short."""
        answered = await self._send("POST", path, lines, _NDJSON)
        told = [each for line in answered.content.split(b"\n") if (each := _object(line))]
        if answered.status < 300:
            return told
        if not told:
            raise self._no_penstock()
        raise self._refused(answered, told[0], path)

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> _Answered:
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"no Penstock answers at {self._base}: {_why(error)}") from None
        wait = response.headers.get("Retry-After", "")
        wait_s = float(wait) if wait.isdecimal() and wait.isascii() else None
        return _Answered(response.status, content, wait_s)

    def _no_penstock(self) -> Unreachable:
        return Unreachable(f"what answers at {self._base} is no Penstock")

    def _refused(self, answered: _Answered, answer: Mapping[str, Any], path: str) -> Refused:
        said = answer.get("error")
        error = said if isinstance(said, dict) else {}
        advice = self._advice(answered.status, path)
        return Refused(answered.status, error, answered.retry_after_s, advice)

    def _advice(self, status: int, path: str) -> str:
        """Return which variable a caller without the right key should set."""
        if status not in (401, 403):
            return ""
        name, what = "PENSTOCK_API_KEY", "a key of this server"
        if path.startswith(_ADMIN):
            name, what = "PENSTOCK_ADMIN_KEY", "the server's admin key"
        sent = "the key that was sent does not open this" if self._has_key else "no key was sent"
        return f" ({sent}: set {name}, or --api-key, to {what})"


def _object(line: bytes) -> dict[str, Any] | None:
    """Return the object in a line; None for anything else, such as a line that was cut."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _why(error: Exception) -> str:
    """Return what went wrong, without the address that aiohttp repeats and its own terms."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        # The errno of a name that is not known is negative, and only its own text explains it.
        number = error.errno or 0
        return os.strerror(number) if number > 0 else str(error.os_error.strerror)
    return str(error) or type(error).__name__


def _parts(url: str) -> SplitResult | None:
    """Return the parts of an HTTP URL, None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def segment(text: str) -> str:
    """Return `text` as one segment of a path, whatever it holds."""
    return quote(text, safe="")


@asynccontextmanager
async def connect(access: Access) -> AsyncIterator[Client]:
    """Yield a client with a session of its own."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=_PATIENCE_S, sock_connect=5),
        connector=aiohttp.TCPConnector(limit=0),
        headers={"Authorization": f"Bearer {access.key}"} if access.key else None,
    ) as session:
        yield Client(access, session)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer as it came; `content` is None when it is not JSON."""

    status: int
    content: Any
    date: str | None


async def fetch(url: str, headers: Mapping[str, str], timeout_s: float) -> Fetched:
    """Return whatever answers at `url`, whatever its status. Raises Unreachable."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = await response.read()
            date = response.headers.get("Date")
    except TimeoutError:
        raise Unreachable(f"no answer within {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(_why(error)) from None
    try:
        return Fetched(response.status, json.loads(body), date)
    except ValueError:
        return Fetched(response.status, None, date)
