"""One try of a call over HTTP: the only part that needs the HTTP client, which is slow to load."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx2

from penstock import calls
from penstock.access import Access
from penstock.calls import Answer, Call
from penstock.streaming import MAX_EVENT_BYTES, SILENCE_S, ServerEvent

_KEPT_OPEN = 32


class Transport:
    """Makes calls and waits. Raises Unreachable, and Refused for a stream that is none."""

    def __init__(self, access: Access, timeout_s: float, http: httpx2.Client | None) -> None:
        self._access = access
        self._timeout_s = timeout_s
        self._http = http or httpx2.Client(limits=_limits())
        self.close = self._http.close

    def send(self, call: Call) -> Answer:
        """Return the answer to a call, whatever its status."""
        timeout = httpx2.Timeout(self._timeout_s, read=self._timeout_s + call.waits_s)
        try:
            answer = self._http.request(**self._access.sent(call), timeout=timeout)
        except httpx2.RequestError as error:
            raise self._access.unreachable(error) from error
        return Answer(answer.status_code, answer.headers, answer.content)

    def events(self, call: Call) -> Generator[ServerEvent, None, None]:
        """Yield the events of a stream until it is closed."""
        timeout = httpx2.Timeout(self._timeout_s, read=SILENCE_S)
        try:
            with self._http.stream(**self._access.sent(call), timeout=timeout) as answer:
                if answer.status_code != httpx2.codes.OK:
                    told = Answer(answer.status_code, answer.headers, answer.read())
                    calls.checked(told, self._access.base)
                yield from httpx2.EventSource(answer, MAX_EVENT_BYTES)
        except httpx2.RequestError as error:
            raise self._access.unreachable(error) from error


class AsyncTransport:
    """Makes calls in an event loop. Raises Unreachable, and Refused for a stream that is none."""

    def __init__(self, access: Access, timeout_s: float, http: httpx2.AsyncClient | None) -> None:
        self._access = access
        self._timeout_s = timeout_s
        self._http = http or httpx2.AsyncClient(limits=_limits())
        self.close = self._http.aclose

    async def send(self, call: Call) -> Answer:
        """Return the answer to a call, whatever its status."""
        timeout = httpx2.Timeout(self._timeout_s, read=self._timeout_s + call.waits_s)
        try:
            answer = await self._http.request(**self._access.sent(call), timeout=timeout)
        except httpx2.RequestError as error:
            raise self._access.unreachable(error) from error
        return Answer(answer.status_code, answer.headers, answer.content)

    async def events(self, call: Call) -> AsyncGenerator[ServerEvent, None]:
        """Yield the events of a stream until it is closed."""
        timeout = httpx2.Timeout(self._timeout_s, read=SILENCE_S)
        try:
            async with self._http.stream(**self._access.sent(call), timeout=timeout) as answer:
                if answer.status_code != httpx2.codes.OK:
                    told = Answer(answer.status_code, answer.headers, await answer.aread())
                    calls.checked(told, self._access.base)
                async for event in httpx2.EventSource(answer, MAX_EVENT_BYTES):
                    yield event
        except httpx2.RequestError as error:
            raise self._access.unreachable(error) from error


def _limits() -> httpx2.Limits:
    return httpx2.Limits(max_connections=None, max_keepalive_connections=_KEPT_OPEN)
