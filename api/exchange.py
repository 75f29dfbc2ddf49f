"""One HTTP exchange on the hot path: plain ASGI in, bytes out, bounded, errors in one shape."""

from __future__ import annotations

import asyncio
import math
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    MutableMapping,
)
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import orjson
import structlog
from pydantic import BaseModel

from api.auth import Access, Authenticator, Caller
from broker.telemetry import REFUSED
from schemas.anthropic_errors import in_anthropics_shape
from schemas.body import read_object
from schemas.errors import (
    BlobsUnavailable,
    EngineError,
    QueueUnavailable,
    RequestError,
    StorageFull,
)
from schemas.ids import is_request_id, request_id_of
from schemas.misfits import fitted

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a server can offer in a scope's extensions; see `Exchange.unhurried`.
UNHURRIED = "penstock.unhurried"
# A refused client may still be sending: closing at once would reset it before it reads why.
LINGER_S = 1.0
# What an event stream tells all between: to keep it neither for later nor until its end.
EVENT_HEADERS: Mapping[str, str] = {"cache-control": "no-store", "x-accel-buffering": "no"}

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_log = structlog.get_logger("penstock.api")


class ClientGone(Exception):
    """The client closed its connection before its request was read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class StreamReply:
    """What is sent back piece by piece.

    However the exchange ends, `close` is called once, also where `blocks` was never begun. Blocks
    that read the body meanwhile see for themselves that the client leaves.
    """

    status: int
    blocks: AsyncGenerator[bytes]
    close: Callable[[], Awaitable[object]]
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream; charset=utf-8"
    reads_body: bool = False


class Headed(Protocol):
    """What a client sent with headers, by whatever door."""

    def header(self, name: str) -> str | None:
        """Return a header's value; `name` in lower case."""


class Exchange:
    """The request side of one exchange."""

    def __init__(self, scope: Scope, receive: Receive, caller: Caller) -> None:
        self._receive = receive
        self._extensions: Mapping[str, Any] = scope.get("extensions") or {}
        self.caller = caller
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path_params: dict[str, str] = scope.get("path_params", {})
        self.query: bytes = scope.get("query_string", b"")
        self._scheme: str = scope.get("scheme", "http")

    def header(self, name: str) -> str | None:
        """Return a header's value; `name` in lower case."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def origin(self) -> str:
        """What the client has put before the path, for links in answers.

        A proxy that ends TLS says so; for nothing else are its headers believed.
        """
        secure = self.header("x-forwarded-proto") == "https"
        return f"{'https' if secure else self._scheme}://{self.header('host') or ''}"

    @property
    def request_id(self) -> str:
        """The request's id in the path, by either name. Raises RequestError for what is none."""
        request_id = request_id_of(self.path_params["id"])
        if not is_request_id(request_id):
            raise RequestError("request_not_found")
        return request_id

    async def json_body(self, max_bytes: int) -> bytes:
        """Return the body's bytes, not parsed, of a type that says JSON.

        Raises as `body`, and RequestError `unsupported_media_type`.
        """
        self.check_media_type("application/json")
        return await self.body(max_bytes)

    async def asked(self, kind: type[M], max_bytes: int) -> M:
        """Return the body as a `kind`. Raises as `json_body`, and RequestError for a misfit."""
        return fitted(kind, read_object(await self.json_body(max_bytes)).members)

    async def json_pieces(self, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield the body as it comes, of a type that says JSON; raises as `json_body`."""
        self.check_media_type("application/json")
        async for chunk in self._within(max_bytes):
            yield chunk

    async def body(self, max_bytes: int) -> bytes:
        """Return the body's bytes.

        Raises RequestError `body_too_large` as soon as that is known, ClientGone when the client
        leaves first.
        """
        return b"".join([chunk async for chunk in self._within(max_bytes)])

    @property
    def declared_bytes(self) -> float:
        """How large the body is as its sender says: 0 if it does not, inf if not in digits."""
        declared = self.headers.get(b"content-length", b"0")
        return int(declared) if declared.isdigit() else math.inf

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the body as it comes, however long it is.

        Raises ClientGone when the client leaves first.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def linger(self) -> None:
        """Drop what still comes of the body, for a moment, so that the client reads its answer."""
        await _linger(self._receive)

    def unhurried(self) -> None:
        """Let the body take as long as it goes on: it is no longer held to a rate."""
        if (offered := self._extensions.get(UNHURRIED)) is not None:
            offered["begin"]()

    async def disconnected(self) -> None:
        """Return when the client has closed the connection; call it after the body was read."""
        await _disconnected(self._receive)

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` does; call it after the body was read. Raises ClientGone."""
        return await while_there(self._receive, work)

    async def _within(self, max_bytes: int) -> AsyncGenerator[bytes]:
        too_large = RequestError("body_too_large", f"The body is over {max_bytes} bytes.")
        if self.declared_bytes > max_bytes:
            raise too_large
        size = 0
        async for chunk in self.pieces():
            size += len(chunk)
            if size > max_bytes:
                raise too_large
            yield chunk

    def check_media_type(self, *kinds: str) -> None:
        """Raise RequestError `unsupported_media_type` unless the body is one of `kinds`."""
        kind, _, parameters = (self.header("content-type") or "").lower().partition(";")
        charset = parameters.replace(" ", "").removeprefix("charset=").strip('"')
        encoding = (self.header("content-encoding") or "identity").lower()
        if (
            kind.strip() not in kinds
            or charset not in ("", "utf-8", "utf8")
            or encoding != "identity"
        ):
            raise RequestError(
                "unsupported_media_type",
                f"Send the body as {' or '.join(kinds)}, in UTF-8 and without Content-Encoding.",
            )


Handler = Callable[[Exchange], Awaitable[Reply | StreamReply]]


class HotRoute:
    """An ASGI endpoint around a handler; every failure leaves in the path's error shape.

    Nobody gets past it without what `access` asks for.
    """

    def __init__(self, handler: Handler, access: Access, authenticator: Authenticator) -> None:
        self._handler = handler
        self._access = access
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one exchange; nothing is sent to a client that has gone."""
        reply: Reply | StreamReply
        try:
            caller = self._authenticator.caller(scope["headers"], self._access)
            reply = await self._handler(Exchange(scope, receive, caller))
        except ClientGone:
            return
        except RequestError as error:
            reply = error_reply(error, path=scope["path"])
        except EngineError as error:
            reply = error_reply(unavailable(error), path=scope["path"])
        except Exception:  # noqa: BLE001  because whatever fails, the client gets an answer
            _log.exception("failed to answer", path=scope.get("path"))
            reply = error_reply(RequestError("internal_error"), path=scope["path"])
        if isinstance(reply, Reply):
            await send_reply(send, reply, receive)
            return
        sending = send_stream(send, reply)
        try:
            await (sending if reply.reads_body else while_there(receive, sending))
        except ClientGone:
            return
        finally:
            await reply.close()


def json_reply(content: object, status: int = 200, headers: Mapping[str, str] = {}) -> Reply:
    """Return a reply with `content` as JSON."""
    return Reply(status, orjson.dumps(content), headers)


def error_reply(error: RequestError, headers: Mapping[str, str] = {}, path: str = "") -> Reply:
    """Return the reply for a refusal, with what an SDK needs to know about retrying.

    Its shape is OpenAI's; Anthropic's for a path of that dialect.
    """
    REFUSED.labels(error.code).inc()
    told = dict(headers)
    if error.retry_after_s is not None:
        told["retry-after"] = str(error.retry_after_s)
    if error.kind.final:
        told["x-should-retry"] = "false"
    if error.status == RequestError("body_too_large").status:
        # The rest of the body will not be read: the connection cannot be used again.
        told["connection"] = "close"
    content = in_anthropics_shape(error) if _is_anthropics(path) else error.as_dict()
    return json_reply(content, error.status, told)


def _is_anthropics(path: str) -> bool:
    return f"{path.removeprefix('/v1')}/".startswith("/messages/")


def unavailable(error: EngineError) -> RequestError:
    """Return the refusal that stands for a failure below."""
    if isinstance(error, StorageFull):
        return RequestError("storage_full")
    if isinstance(error, QueueUnavailable):
        return RequestError("queue_unavailable")
    if isinstance(error, BlobsUnavailable):
        return RequestError("blobs_unavailable")
    return RequestError("store_unavailable")


async def send_reply(send: Send, reply: Reply, receive: Receive) -> None:
    """Send a whole reply; where it ends the connection, its client has a moment to read it."""
    headers = [*_head(reply), (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    closes = reply.headers.get("connection") == "close"
    await send({"type": "http.response.body", "body": reply.body, "more_body": closes})
    if closes:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    """Drop what still comes of a body; to close at once would reset the client that sends it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass


async def send_head(send: Send, reply: StreamReply) -> None:
    """Send what comes before the blocks of a reply, and nothing of these."""
    await send({"type": "http.response.start", "status": reply.status, "headers": _head(reply)})
    await send({"type": "http.response.body", "body": b""})


async def send_stream(send: Send, reply: StreamReply) -> None:
    """Send a reply block by block, as fast as its reader takes it."""
    await send({"type": "http.response.start", "status": reply.status, "headers": _head(reply)})
    async with aclosing(reply.blocks) as blocks:
        async for block in blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` does; raise ClientGone and cancel it when the client leaves."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        # Its clean-up is over before anyone goes on.
        await asyncio.wait({working})
    raise ClientGone


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _head(reply: Reply | StreamReply) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", reply.content_type.encode("latin-1", "replace")),
        *(
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in reply.headers.items()
        ),
    ]
