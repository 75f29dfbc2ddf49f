"""One attempt to post an event: guarded, bounded in time and size, never redirected."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import yarl

from schemas.destinations import AllowList, BadDestination, check_destination
from workers.backends.retry_after import retry_after_s
from workers.backends.unreachable import in_words
from workers.webhooks.guard import Guard, OpenSocket, open_socket
from workers.webhooks.lookup import Lookup, Lookups

MAX_ANSWER_BYTES = 64 * 1024
TOLD_BYTES = 1024
LONGEST_PAUSE_S = 86_400.0
# The status is what counts; what else a receiver says is not waited for.
_BODY_S = 2.0
_REFUSED = "its host leads to an address that webhooks may not reach"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt: the receiver's status, or in words why there is none.

    `retry_after_s` is the time for which a receiver that refused wants nothing.
    """

    status_code: int | None
    message: str | None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken the event."""
        return self.status_code is not None and 200 <= self.status_code < 300


class Sender:
    """Posts to receivers; each attempt has a connection of its own, so each is guarded."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        lookup: Lookup | None = None,
        sockets: OpenSocket = open_socket,
    ) -> None:
        self._tls = tls
        self._lookup = lookup or Lookups()
        self._sockets = sockets

    async def send(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        allowed: AllowList,
        timeout_s: float,
    ) -> Answer:
        """Post `body`, which is JSON, and return what became of it."""
        try:
            destination = check_destination(url, allowed)
        except BadDestination as error:
            return Answer(None, f"its URL is not allowed: {error}")
        guard = Guard(destination, allowed, self._lookup, self._sockets)
        try:
            async with asyncio.timeout(timeout_s), self._session(guard) as session:
                return await _post(session, url, body, headers)
        except TimeoutError:
            return Answer(None, f"no answer within {timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, _REFUSED if guard.refused else in_words(error))

    def _session(self, guard: Guard) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=guard,
            socket_factory=guard.open,
            use_dns_cache=False,
            force_close=True,
            ssl=self._tls,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers={"Accept-Encoding": "identity", "User-Agent": "Penstock-Webhooks/1"},
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            read_bufsize=MAX_ANSWER_BYTES // 2,
        )


def tls_context() -> ssl.SSLContext:
    """Return the trust in the system's certificate authorities; reads files."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    sent = {**headers, "Content-Type": "application/json"}
    async with session.post(
        yarl.URL(url, encoded=True), data=body, headers=sent, allow_redirects=False
    ) as response:
        status = response.status
        text = await _beginning(response)
        if 200 <= status < 300:
            return Answer(status, None)
        said = f"it answered {status}" + (f": {text}" if text else "")
        return Answer(status, said, retry_after_s(response.headers, time.time(), LONGEST_PAUSE_S))


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """Return the first 1 KiB of an answer as text that can be shown; more is read and dropped."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return ""
    read = bytearray()
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_BODY_S):
            while len(read) < MAX_ANSWER_BYTES and (part := await response.content.readany()):
                read += part
    text = bytes(read[:TOLD_BYTES]).decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()
