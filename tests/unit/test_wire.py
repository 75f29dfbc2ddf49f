"""One connection at a time: what is answered in which order, and what ends a slow client."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.exchange import UNHURRIED, Receive, Scope, Send
from api.wire import MAX_PIPELINED, Limits, bounded, look_at

App = Callable[[Scope, Receive, Send], Any]
SHORT_S = 0.5
MIB = 1024 * 1024
LIMITS = Limits(100, header_timeout_s=SHORT_S, body_timeout_s=SHORT_S, keep_alive_s=5)
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.wire.LINGER_S", 0.1)


@contextlib.asynccontextmanager
async def _client(
    app: App, limits: Limits = LIMITS
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, ServerState]]:
    """A client's connection to a server of `app`, and that server's state."""
    loop = asyncio.get_running_loop()
    config = Config(app, http=bounded(limits), ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()

    def connection() -> asyncio.Protocol:
        made: Any = config.http_protocol_class
        protocol: asyncio.Protocol = made(config=config, server_state=state, app_state={})
        return protocol

    async def looking() -> None:
        while True:
            look_at(state.connections, loop.time())
            await asyncio.sleep(0.02)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    eye = asyncio.create_task(looking())
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        yield reader, writer, state
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        async with asyncio.timeout(5):
            await _until(lambda: not state.connections and not state.tasks)
        eye.cancel()
        server.close()
        await server.wait_closed()


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  because what is waited for sets no event
        await asyncio.sleep(0.01)


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when the client leaves first."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message["body"]
        body += part
        if not message["more_body"]:
            return body


async def _answer(send: Send, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await _body(receive)
    if body is not None:
        await _answer(send, body)


def _gated(gate: asyncio.Event) -> App:
    """An app that answers when `gate` opens."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await _echo(scope, receive, send)

    return app


def _statuses(told: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d{3}) ", told)]


async def _all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read()


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    gate = asyncio.Event()
    async with _client(_gated(gate)) as (reader, writer, _):
        writer.write(GET + GET + b"NONSENSE\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SHORT_S)
        gate.set()
        told = await _all(reader)
    assert _statuses(told) == [200, 200, 400]


async def test_more_than_a_few_requests_in_one_go_are_refused() -> None:
    gate = asyncio.Event()
    async with _client(_gated(gate)) as (reader, writer, state):
        writer.write(GET * 1_000)
        await _until(lambda: len(state.tasks) == 1)
        gate.set()
        told = await _all(reader)
    assert told.count(b" 200 OK") == 1 + MAX_PIPELINED
    assert told.count(b" 400 Bad Request") == 1


async def test_a_trailer_never_becomes_a_header() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _body(receive)
        await _answer(send, b",".join(name for name, _ in scope["headers"]))

    async with _client(app) as (reader, writer, _):
        chunks = b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        writer.write(POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        told = await _all(reader)
    assert told.endswith(b"host,connection,transfer-encoding")


async def test_a_trailer_without_end_is_refused() -> None:
    async with _client(_echo) as (reader, writer, _):
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: ")
        writer.write(b"x" * MIB)  # one read of it may come with the body, and is not counted
        assert b" 431 " in await _all(reader)


async def test_a_body_that_stops_is_refused_and_its_handler_sees_a_client_that_left() -> None:
    seen: list[bytes | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await _body(receive))

    async with _client(app) as (reader, writer, _):
        writer.write(POST + b"Content-Length: 10\r\n\r\nabc")
        assert b" 408 " in await _all(reader)
    assert seen == [None]


async def test_a_handler_that_answers_after_a_refusal_is_not_heard() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        await _answer(send, b"too late")

    async with _client(app) as (reader, writer, _):
        writer.write(POST + b"Content-Length: 10\r\n\r\nabc")
        assert _statuses(await _all(reader)) == [408]


async def test_a_body_that_stops_after_its_answer_began_is_cut() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await _body(receive)

    async with _client(app) as (reader, writer, _):
        writer.write(POST + b"Content-Length: 10\r\n\r\nabc")
        told = await _all(reader)
    assert told.count(b"HTTP/1.1") == 1
    assert b" 200 OK" in told


async def _as_it_comes(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each part of the body with its size, however long it takes."""
    scope["extensions"][UNHURRIED]["begin"]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        told = b"%d;" % len(message["body"])
        await send({"type": "http.response.body", "body": told, "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})


async def test_a_body_that_may_be_slow_is_served_as_long_as_it_goes_on() -> None:
    async with _client(_as_it_comes) as (reader, writer, _):
        writer.write(POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(SHORT_S / 2)
            writer.write(b"1\r\nx\r\n")
        writer.write(b"0\r\n\r\n")
        told = await _all(reader)
    assert told.count(b"1;") == 8
    assert b"end" in told


async def test_a_body_that_may_be_slow_is_cut_when_it_stands_still() -> None:
    async with _client(_as_it_comes) as (reader, writer, _):
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        told = await _all(reader)
    assert b"1;" in told
    assert b"end" not in told


async def test_the_next_body_on_a_connection_may_not_be_slow_by_that() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (_as_it_comes if scope["path"] == "/slow" else _echo)(scope, receive, send)

    async with _client(app) as (reader, writer, _):
        writer.write(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(POST + b"Content-Length: 2048\r\n\r\n")
        refused = asyncio.create_task(_all(reader))
        for _ in range(12):
            await asyncio.sleep(SHORT_S / 2)
            if refused.done():
                break
            writer.write(b"x")
        assert b" 408 " in await refused


async def test_a_slow_but_steady_body_is_served() -> None:
    async with _client(_echo) as (reader, writer, _):
        writer.write(POST + b"Connection: close\r\nContent-Length: 2048\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(SHORT_S / 4)
            writer.write(b"x" * 256)
        assert (await _all(reader)).endswith(b"x" * 2048)


async def test_a_body_that_we_do_not_read_yet_is_not_late() -> None:
    gate = asyncio.Event()
    async with _client(_gated(gate)) as (reader, writer, _):
        writer.write(GET + POST + b"Connection: close\r\nContent-Length: 6\r\n\r\nabc")
        await asyncio.sleep(SHORT_S * 3)
        gate.set()
        writer.write(b"def")
        told = await _all(reader)
    assert told.count(b" 200 OK") == 2
    assert told.endswith(b"abcdef")


async def test_a_body_that_stops_behind_another_request_lets_that_one_be_answered() -> None:
    gate = asyncio.Event()
    async with _client(_gated(gate)) as (reader, writer, _):
        writer.write(GET + POST + b"Transfer-Encoding: chunked\r\n\r\nNONSENSE\r\n")
        await asyncio.sleep(SHORT_S)
        gate.set()
        told = await _all(reader)
    assert _statuses(told) == [200, 400]


async def test_a_client_that_does_not_take_its_answer_is_dropped() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, b"x" * 64 * MIB)

    async with _client(app) as (_, writer, state):
        writer.write(GET)
        await _until(lambda: len(state.connections) == 1)
        async with asyncio.timeout(5):
            await _until(lambda: not state.connections)
        assert state.total_requests == 1


async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, b"x" * 16 * MIB)

    async with _client(app) as (reader, writer, _):
        writer.write(GET)
        taken = len(await reader.readuntil(b"\r\n\r\n")) * 0
        while taken < 16 * MIB:
            taken += len(await reader.read(256 * 1024))
            await asyncio.sleep(SHORT_S / 20)
    assert taken == 16 * MIB


async def test_an_idle_connection_is_closed_and_a_held_one_is_not() -> None:
    gate = asyncio.Event()
    limits = Limits(100, SHORT_S, SHORT_S, keep_alive_s=SHORT_S)
    async with _client(_gated(gate), limits) as (reader, writer, _):
        writer.write(GET)
        await asyncio.sleep(SHORT_S * 3)
        gate.set()
        told = await _all(reader)
    assert told.count(b" 200 OK") == 1


async def test_our_own_failure_to_read_a_head_is_told_as_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a mistake of ours")

    monkeypatch.setattr("api.wire.check_head", broken)
    async with _client(_echo) as (reader, writer, _):
        writer.write(GET)
        assert b'"code":"internal_error"' in await _all(reader)
