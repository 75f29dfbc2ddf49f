"""One HTTP connection: uvicorn's protocol with a limit on everything that a client can make wait.

uvicorn has no limit in time or size on what it reads. Here each connection knows until when its
present phase may last, and the server looks at all of them with `look` each second: that costs
a request nothing, where a timer of its own would.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.exchange import LINGER_S, UNHURRIED, error_reply
from api.framing import MAX_TARGET_BYTES, check_head, check_unfinished
from schemas.config import ServerConfig
from schemas.errors import RequestError

MIN_BYTES_PER_S = 1024
MAX_PIPELINED = 16

_log = structlog.get_logger("penstock.wire")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections are open at once, and how long each phase of one may last."""

    connections: int
    header_timeout_s: float
    body_timeout_s: float
    keep_alive_s: float

    @classmethod
    def of(cls, server: ServerConfig, most_connections: int) -> Limits:
        """Return the configured limits, with no more connections than `most_connections`."""
        return cls(
            min(server.max_connections, most_connections),
            server.header_timeout_s,
            server.body_timeout_s,
            server.keep_alive_s,
        )


class Phase(Enum):
    """What is awaited from the client."""

    HEAD = "the headers of a request"
    BODY = "its body"
    SERVED = "nothing: it is our turn"
    IDLE = "another request, or the end"
    OVER = "the end: what still arrives is dropped"


class Wire(HttpToolsProtocol):
    """A connection within `limits`; what breaks them is refused in the path's error shape."""

    limits: ClassVar[Limits]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.url = b""
        self._phase = Phase.HEAD
        self._until = math.inf
        self._body_began = 0.0
        self._body_bytes = 0
        self._unhurried = False
        # Since the parser last passed something on: it keeps an unfinished header to itself.
        self._unseen_bytes = 0
        self._unsent_bytes = 0
        self._reader_until = math.inf
        self._refusal: RequestError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        """Begin to wait for a head, or refuse: too many are open."""
        super().connection_made(transport)
        self._enter(Phase.HEAD, self.limits.header_timeout_s)
        if len(self.connections) > self.limits.connections:
            self.connections.discard(self)
            self._refuse(RequestError("too_many_connections"))
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Read on, within the limits."""
        if self._phase is Phase.OVER:
            return
        if self._phase in (Phase.IDLE, Phase.SERVED):
            self._enter(Phase.HEAD, self.limits.header_timeout_s)
        self._unseen_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if self._unseen_bytes > MAX_TARGET_BYTES:
                check_unfinished(self.url, self._unseen_bytes)
        except httptools.HttpParserError as error:
            self._refuse(_refusal_of(error))
        except RequestError as error:
            self._refuse(error)

    def on_headers_complete(self) -> None:
        """Check the head, then hand the request to its handler."""
        if self.parser.should_upgrade():
            # The parser takes what follows for another protocol, and would lose a body.
            raise RequestError("bad_request", "There is no Upgrade and no CONNECT here.")
        check_head(self.parser.get_http_version(), self.url, self.headers)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RequestError("bad_request", "Too many requests in one go; await the answers.")
        self._unhurried = False
        self.scope["extensions"] = {UNHURRIED: {"begin": self._let_be_slow}}
        super().on_headers_complete()
        # Trailers must not become headers of the request that is already on its way.
        self.headers = []
        self._unseen_bytes = self._body_bytes = 0
        self._enter(Phase.BODY, self.limits.body_timeout_s)
        self._body_began = self._until - self.limits.body_timeout_s

    def on_body(self, body: bytes) -> None:
        """Count what has arrived."""
        self._unseen_bytes = 0
        self._body_bytes += len(body)
        if self._unhurried:
            self._body_began = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is our turn, unless the answer was given before the request had ended."""
        super().on_message_complete()
        self._unseen_bytes = 0
        if self.cycle.response_complete:
            self._enter(Phase.IDLE, self.limits.keep_alive_s)
        else:
            self._enter(Phase.SERVED, math.inf)

    def on_response_complete(self) -> None:
        """Go on with the next request; uvicorn's own sets a timer for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._enter(Phase.OVER, self.limits.body_timeout_s)
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._tell(self._refusal)
        elif self._phase is Phase.SERVED:
            self._enter(Phase.IDLE, self.limits.keep_alive_s)

    def pause_writing(self) -> None:
        """Begin to watch a client that is slow to take its answer."""
        super().pause_writing()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._reader_until = self.loop.time() + self.limits.body_timeout_s

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._reader_until = math.inf

    def look(self, now: float) -> None:
        """End what has lasted too long; `now` on the loop's clock."""
        if now > self._reader_until:
            self._check_reader(now)
        if now > self._until:
            self._expire(now)

    def _enter(self, phase: Phase, timeout_s: float) -> None:
        self._phase = phase
        self._until = self.loop.time() + timeout_s

    def _expire(self, now: float) -> None:
        if self._phase is Phase.BODY:
            self._check_body(now)
        elif self._phase is Phase.HEAD and self._unseen_bytes:
            self._refuse(RequestError("request_timeout"))
        elif self.transport.is_closing():
            if not self.flow.write_paused:
                self.transport.abort()
        else:
            self.transport.close()
            self._enter(Phase.OVER, self.limits.body_timeout_s)

    def _let_be_slow(self) -> None:
        """From now on the body that comes in may take as long as it does not stand still."""
        self._unhurried = True
        self._body_began = self.loop.time()

    def _check_body(self, now: float) -> None:
        """Let a body be slow, but not slower than its rate."""
        reads_answer = self._unhurried and self.flow.write_paused
        if self.flow.read_paused or reads_answer:
            self._body_began = now  # we do not read it, so the time is not the client's
        owed = 0 if self._unhurried else self._body_bytes
        allowed_s = self.limits.body_timeout_s + owed / MIN_BYTES_PER_S
        self._until = self._body_began + allowed_s
        if now > self._until:
            self._refuse(RequestError("request_timeout"))

    def _check_reader(self, now: float) -> None:
        """Drop a client that does not take its answer; it holds memory of ours."""
        unsent = self.transport.get_write_buffer_size()
        if self._unsent_bytes - unsent < MIN_BYTES_PER_S * self.limits.body_timeout_s:
            self.transport.abort()
            return
        self._unsent_bytes = unsent
        self._reader_until = now + self.limits.body_timeout_s

    def _refuse(self, error: RequestError) -> None:
        """Read no more; answer `error` after the answers that are due, then close."""
        self._refusal = error
        self._enter(Phase.OVER, math.inf)
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # it is None at first
            self._tell(error)
        elif self.cycle.more_body:
            self._abandon(self.cycle, error)

    def _abandon(self, cycle: RequestResponseCycle, error: RequestError) -> None:
        """Give up a request whose body did not come: its handler sees a client that left."""
        if self.pipeline:
            self.pipeline.popleft()  # not begun; others are to be answered first
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.close()
        else:
            self._tell(error)

    def _tell(self, error: RequestError) -> None:
        path = self.url.partition(b"?")[0].decode("latin-1")
        reply = error_reply(error, {"connection": "close"}, path)
        status = HTTPStatus(reply.status)
        head = [f"HTTP/1.1 {status.value} {status.phrase}"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        head += [f"content-type: {reply.content_type}", f"content-length: {len(reply.body)}"]
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + reply.body)
        self._enter(Phase.OVER, LINGER_S)


def bounded(limits: Limits) -> type[Wire]:
    """Return the protocol class with these limits, for uvicorn."""
    return type("BoundedWire", (Wire,), {"limits": limits})


def look_at(connections: Iterable[object], now: float) -> None:
    """Look at every connection of a server; `now` on the loop's clock."""
    for connection in tuple(connections):
        if isinstance(connection, Wire):
            connection.look(now)


def _refusal_of(error: httptools.HttpParserError) -> RequestError:
    """Return what the parser's error stands for: a check of ours, or its own sentence."""
    cause = error.__context__
    if isinstance(cause, RequestError):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError):
        _log.error("failed to read a request", exc_info=cause)
        return RequestError("internal_error")
    return RequestError("bad_request", f"This is not a valid HTTP/1.1 request: {error}.")
