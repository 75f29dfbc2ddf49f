"""The benchmark's client counts a request only when it was accepted and has completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest

from benchmarks.client import BODY_BYTES, Job, run, submit_body
from benchmarks.raw_http import Messages

REQUEST_ID = "req_1"
Answers = Callable[[bytes], tuple[int, bytes]]


@asynccontextmanager
async def door(answers: Answers) -> AsyncIterator[int]:
    """Answer each request with what `answers` makes of its head; yields the port."""

    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        messages = Messages()
        ended.append(over := asyncio.Event())
        while data := await reader.read(65_536):
            for head, _ in messages.feed(data):
                status, body = answers(head)
                writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for over in ended:
            await over.wait()


def told(status: str, request_id: str = REQUEST_ID) -> bytes:
    return orjson.dumps({"id": request_id, "status": status})


async def test_every_request_that_completes_is_counted() -> None:
    seen: list[bytes] = []

    def answers(head: bytes) -> tuple[int, bytes]:
        seen.append(head.split(b"\r\n")[0])
        return (202, told("queued")) if head.startswith(b"POST") else (200, told("completed"))

    async with door(answers) as port:
        outcome = await run(Job(port, "wait-0", requests=25, in_flight=4))
    assert (outcome.completed, outcome.error) == (25, None)
    assert seen.count(b"POST /v1/requests HTTP/1.1") == 25
    assert seen.count(b"GET /v1/requests/req_1?wait=60 HTTP/1.1") == 25


@pytest.mark.parametrize(
    ("submitted", "read"),
    [
        ((200, told("queued")), (200, told("completed"))),
        ((503, b"{}"), (200, told("completed"))),
        ((202, told("queued")), (404, b"{}")),
        ((202, told("queued")), (200, told("failed"))),
        ((202, told("queued")), (200, told("queued"))),
        ((202, told("queued")), (200, told("completed", "req_2"))),
    ],
)
async def test_a_wrong_answer_ends_the_job_with_an_error(
    submitted: tuple[int, bytes], read: tuple[int, bytes]
) -> None:
    async with door(lambda head: submitted if head.startswith(b"POST") else read) as port:
        outcome = await run(Job(port, "wait-0", requests=25, in_flight=4))
    assert outcome.error is not None
    assert outcome.completed < 25


def test_the_body_has_exactly_the_size_that_is_told() -> None:
    body = submit_body("wait-50")
    assert len(body) == BODY_BYTES
    assert orjson.loads(body)["body"]["model"] == "wait-50"
