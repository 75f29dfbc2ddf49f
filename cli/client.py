"""The command line's side of the HTTP API."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import aiohttp

from schemas.errors import ConfigError

_PATIENCE_S = 90.0
_CONNECT_S = 5.0
# A stream of events says something every 10 s.
_SILENCE_S = 60.0
_REFUSED = 300
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
class Streamed:
    """An answer that comes piece by piece; names of headers in any case."""

    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


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
        body: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        patience_s: float | None = _PATIENCE_S,
    ) -> dict[str, Any]:
        """Make one call and return the JSON object of the answer.

        `patience_s` is for all of it; None for a body that may take its time.
        """
        timeout = aiohttp.ClientTimeout(patience_s, sock_connect=_CONNECT_S)
        sent = {**_JSON, **(headers or {})}
        async with self._answer(method, path, body, sent, timeout) as response:
            answer = _object(await self._read(response))
        if answer is None:
            raise self._no_penstock()
        return answer

    async def upload(self, path: str, lines: bytes) -> list[dict[str, Any]]:
        """Send JSON lines and return those of the answer, which may have been cut short."""
        timeout = aiohttp.ClientTimeout(_PATIENCE_S, sock_connect=_CONNECT_S)
        async with self._answer("POST", path, lines, _NDJSON, timeout) as response:
            content = await self._read(response)
        return [each for line in content.split(b"\n") if (each := _object(line))]

    @asynccontextmanager
    async def streamed(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Streamed]:
        """Yield an answer whose bytes are taken as they come; silent for long, it breaks off."""
        timeout = aiohttp.ClientTimeout(None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        async with self._answer("GET", path, None, headers or {}, timeout) as response:
            yield Streamed(response.headers, self._pieces(response))

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        body: bytes | AsyncIterable[bytes] | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield an answer that is no refusal."""
        with self._named():
            response = await self._session.request(
                method,
                self._base + path,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
            )
        async with response:
            if response.status >= _REFUSED:
                raise self._refused(response, await self._read(response), path)
            yield response

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name what goes wrong on the way to the server and back."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"no Penstock answers at {self._base}: {_why(error)}") from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        with self._named():
            return await response.read()

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        while True:
            with self._named():
                piece = await response.content.readany()
            if not piece:
                return
            yield piece

    def _refused(self, response: aiohttp.ClientResponse, body: bytes, path: str) -> Exception:
        answer = _object(body) or _object(body.partition(b"\n")[0])
        if answer is None:
            return self._no_penstock()
        said = answer.get("error")
        wait = response.headers.get("Retry-After", "")
        return Refused(
            response.status,
            said if isinstance(said, dict) else {},
            float(wait) if wait.isdecimal() and wait.isascii() else None,
            self._advice(response.status, path),
        )

    def _no_penstock(self) -> Unreachable:
        return Unreachable(f"what answers at {self._base} is no Penstock")

    def _advice(self, status: int, path: str) -> str:
        """Return which variable a caller without the right key should set."""
        if status not in (401, 403):
            return ""
        name, what = "PENSTOCK_API_KEY", "a key of this server"
        if path.startswith(_ADMIN):
            name, what = "PENSTOCK_ADMIN_KEY", "the server's admin key"
        sent = "the key that was sent does not open this" if self._has_key else "no key was sent"
        return f" ({sent}: set {name}, or --api-key, to {what})"


def _object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object that `text` is; None for anything else, such as a line cut short."""
    try:
        told = json.loads(text)
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
