"""The command line's side of the HTTP API."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

_PATIENCE_S = 90.0


class Unreachable(Exception):
    """No server answers at the URL."""


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message") or f"the server answered {status}"))
        self.status = status
        self.retry_after_s: float | None = None


class Client:
    """A few calls over one session; every method may raise Unreachable or Refused."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._session = session

    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Submit one request and return its object."""
        return await self._ask("POST", "/v1/requests", request)

    async def read(self, request_id: str, wait_s: float = 0) -> dict[str, Any]:
        """Return a request, after at most `wait_s` seconds if it has not ended."""
        return await self._ask("GET", f"/v1/requests/{request_id}?wait={wait_s:g}")

    async def cancel(self, request_id: str) -> dict[str, Any]:
        """Cancel a request and return it."""
        return await self._ask("POST", f"/v1/requests/{request_id}/cancel", {})

    async def models(self) -> list[dict[str, Any]]:
        """Return the models."""
        listed = await self._ask("GET", "/v1/models")
        models: list[dict[str, Any]] = listed["data"]
        return models

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            async with self._session.request(method, self._url + path, json=body) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"no Penstock answers at {self._url}: {error}") from None
        if response.ok:
            content: dict[str, Any] = answer
            return content
        said = answer.get("error") if isinstance(answer, dict) else None
        raise Refused(response.status, said if isinstance(said, dict) else {})


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Client]:
    """Yield a client with a session of its own."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S, sock_connect=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Client(url, session)


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
    except aiohttp.ClientConnectorError as error:
        why = os.strerror(error.errno) if error.errno else str(error.os_error)
        raise Unreachable(why) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(str(error) or type(error).__name__) from None
    try:
        return Fetched(response.status, json.loads(body), date)
    except ValueError:
        return Fetched(response.status, None, date)
