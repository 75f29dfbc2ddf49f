"""Backends that speak OpenAI's HTTP API: vLLM, SGLang, TGI, llama.cpp, Ollama, most clouds."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp

from broker.scheduling.retry import BUSY_STATUSES, Failure, failure_of_status
from schemas.config import BackendConfig
from schemas.message_batches import ENDPOINT as MESSAGES
from schemas.request import ENDPOINTS
from schemas.responses.told import ENDPOINT as RESPONSES
from workers.backends.answers import parse_answer, read_capped, usage_in, usage_of
from workers.backends.chunks import Chunks
from workers.backends.port import Answer, Call, CallFailed, Sink
from workers.backends.responses.native import NativeEvents
from workers.backends.retry_after import retry_after_s
from workers.backends.streamed import EVENT_STREAM, read_stream
from workers.backends.unreachable import in_words
from workers.backends.usage_asked import with_usage

Session = aiohttp.ClientSession

_JSON_ENDPOINTS = frozenset({*ENDPOINTS, MESSAGES})
_OK = range(200, 300)
_REDIRECT = range(300, 400)
_LIST_TIMEOUT_S = 10.0
_MAX_LIST_BYTES = 4 * 1024 * 1024
_LARGE_BODY_BYTES = 512 * 1024


class OpenAIBackend:
    """One backend over one shared aiohttp session; see Backend for what is promised."""

    def __init__(self, config: BackendConfig, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._session = session

    async def call(self, url: str, call: Call) -> Answer:
        """Post the body as it is to the endpoint below `url`, which ends in /v1.

        An answer of OpenAI's four JSON endpoints, or of Anthropic's, must be JSON; any other's
        may be audio, say.
        """
        async with self._posting(url, call, call.body) as response:
            answer = await self._whole(response)
        return _usable(answer, must_be_json=call.endpoint in _JSON_ENDPOINTS)

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        """Post the body, which asks for a stream, and for the usage whether the client did or not.

        The chunk that only tells the usage is passed on to a client that asked for it.
        """
        body, chunks = _asking_for_usage(call)
        async with self._posting(url, call, body) as response:
            if response.status not in _OK:
                return _usable(await self._whole(response), must_be_json=False)
            streamed = await read_stream(response, self._config.max_answer_bytes, chunks, sink)
        return Answer(response.status, EVENT_STREAM, streamed, chunks.usage)

    async def models(self, url: str) -> list[str]:
        """Read `url`/models."""
        async with self._asking("GET", f"{url}/models", {}, _LIST_TIMEOUT_S) as response:
            answer = await self._whole(response, _MAX_LIST_BYTES)
        listed = parse_answer(_usable(answer, must_be_json=True).body).get("data")
        if not isinstance(listed, list):
            raise CallFailed(Failure.UNUSABLE, f"{url}/models does not list models")
        names = [item.get("id") for item in listed if isinstance(item, dict)]
        return [name for name in names if isinstance(name, str) and name]

    def _posting(
        self, url: str, call: Call, body: bytes
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {
            "Content-Type": call.content_type,
            "x-penstock-id": call.request_id,
            "x-penstock-attempt": str(call.attempt),
        }
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        path = call.endpoint.removeprefix("/v1")
        return self._asking("POST", url + path, headers, call.timeout_s, body)

    async def _whole(
        self, response: aiohttp.ClientResponse, max_bytes: int | None = None
    ) -> Answer:
        content = await read_capped(response, max_bytes or self._config.max_answer_bytes)
        pause_s = _asked_pause_s(response)
        return Answer(response.status, _media_type(response), content, retry_after_s=pause_s)

    @asynccontextmanager
    async def _asking(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer to be read. Raises CallFailed for what fails in the block as well."""
        sent = dict(headers)
        if self._config.api_key:
            sent["Authorization"] = f"Bearer {self._config.api_key}"
        timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=min(timeout_s, self._config.connect_timeout_s)
        )
        try:
            async with self._session.request(
                method,
                url,
                data=_payload(body),
                headers=sent,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                yield response
        except aiohttp.ConnectionTimeoutError as error:
            raise CallFailed(Failure.UNREACHABLE, "no connection in time") from error
        except TimeoutError as error:
            raise CallFailed(Failure.TIMED_OUT, f"no answer within {timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise CallFailed(Failure.UNUSABLE, "the answer was cut short") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(Failure.UNREACHABLE, in_words(error)) from error


def open_session() -> aiohttp.ClientSession:
    """Return the session that all backends of a process share.

    Encoded answers are not unpacked, environment proxies not believed; idle connections are given
    up before common servers (5 s) close them, or a request would meet a dying one.
    """
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4, ttl_dns_cache=30)
    return aiohttp.ClientSession(
        connector=connector,
        headers={"Accept-Encoding": "identity", "User-Agent": "penstock"},
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=32 * 1024,
        max_field_size=32 * 1024,
    )


def _asking_for_usage(call: Call) -> tuple[bytes, Chunks | NativeEvents]:
    """Return the body of a stream and what judges its events; a Response tells its usage anyway."""
    if call.endpoint == RESPONSES:
        return call.body, NativeEvents()
    body, asked = with_usage(call.body)
    return body, Chunks(shows_usage=asked)


def _media_type(response: aiohttp.ClientResponse) -> str:
    """Return the answer's type; bytes that are no text (aiohttp keeps them as surrogates) go."""
    kind = response.headers.get("Content-Type", "application/json")
    return kind.encode("ascii", "replace").decode()


def _asked_pause_s(response: aiohttp.ClientResponse) -> float | None:
    if response.status not in BUSY_STATUSES:
        return None
    return retry_after_s(response.headers, time.time())


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """Return the body in the form that aiohttp writes without blocking the loop."""
    if body is None or len(body) < _LARGE_BODY_BYTES:
        return body
    return io.BytesIO(body)


def _usable(answer: Answer, *, must_be_json: bool) -> Answer:
    """Return a usable 2xx answer with its usage; raise CallFailed for all others."""
    if answer.status_code in _OK:
        kind, body = answer.content_type, answer.body
        usage = usage_of(parse_answer(body)) if must_be_json else usage_in(body, kind)
        return Answer(answer.status_code, kind, body, usage)
    said = f"the backend answered {answer.status_code}"
    if answer.status_code in _REDIRECT or answer.status_code < _OK.start:
        raise CallFailed(Failure.UNUSABLE, f"{said}, which Penstock does not follow")
    failure = failure_of_status(answer.status_code)
    raise CallFailed(failure, said, answer, answer.retry_after_s)
