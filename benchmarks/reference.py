"""The reference: the same pipeline as a good engineer writes it by hand, without any feature.

    python -m benchmarks.reference api --name … --port … --amqp-url … --redis-url …
    python -m benchmarks.reference worker --name … --backend … --amqp-url … --redis-url …

Bare ASGI on uvicorn, one parse of a body, stock aio-pika with pipelined confirms on a durable
quorum queue, aiohttp to the backend, redis-py in one pipeline a turn of the loop. Durable like
Penstock: a 202 means recorded and confirmed, and a message is acked after its result is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import aio_pika
import aiohttp
import orjson
import uvicorn
import uvloop
from redis.asyncio import Redis

PREFETCH = 64
RETENTION_S = 86_400
_QUORUM = {"x-queue-type": "quorum"}
_JSON = {"content-type": "application/json"}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Pipeline:
    """Redis with all commands of one turn of the loop in one round trip."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._asked: list[tuple[tuple[str | bytes | int, ...], asyncio.Future[Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send a command; the future is done with its reply."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._asked:
            task = asyncio.create_task(self._send())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._asked.append((command, reply))
        return reply

    async def _send(self) -> None:
        asked, self._asked = self._asked, []
        pipe = self._redis.pipeline(transaction=False)
        for command, _ in asked:
            pipe.execute_command(*command)
        for (_, reply), value in zip(asked, await pipe.execute(), strict=True):
            if not reply.done():
                reply.set_result(value)


class Door:
    """The api process: accepts a request, and answers its reader when the result is there."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._redis = Redis.from_url(options.redis_url)
        self._pipeline = Pipeline(self._redis)
        self._readers: dict[str, asyncio.Future[bytes]] = {}

    async def connect(self) -> None:
        """Connect to RabbitMQ."""
        connection = await aio_pika.connect_robust(self._options.amqp_url)
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(self._options.name, durable=True, arguments=_QUORUM)
        self._exchange = channel.default_exchange

    async def publish(self, request_id: str, body: bytes) -> None:
        """Publish a message and wait for its confirm."""
        persistent = aio_pika.DeliveryMode.PERSISTENT
        message = aio_pika.Message(body, message_id=request_id, delivery_mode=persistent)
        await self._exchange.publish(message, self._options.name)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer an ASGI scope."""
        if scope["type"] == "lifespan":
            await self.connect()
            self._listening = asyncio.create_task(self._listen())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await receive()
        elif scope["method"] == "POST" and scope["path"] == "/v1/requests":
            await self._submit(receive, send)
        elif scope["path"].startswith("/v1/requests/"):
            await self._read(scope, send)
        else:
            await _answer(send, 200 if scope["path"] == "/ready" else 404, b"{}")

    async def _submit(self, receive: Receive, send: Send) -> None:
        raw, more = b"", True
        while more:
            part = await receive()
            raw, more = raw + part.get("body", b""), part.get("more_body", False)
        body = orjson.loads(raw)["body"]
        request_id = f"req_{uuid.uuid4().hex}"
        record = orjson.dumps({"id": request_id, "status": "queued", "model": body["model"]})
        await self._pipeline.ask("SET", request_id, record, "EX", RETENTION_S)
        await self.publish(request_id, orjson.dumps(body))
        await _answer(send, 202, record)

    async def _read(self, scope: dict[str, Any], send: Send) -> None:
        request_id = scope["path"].removeprefix("/v1/requests/")
        wait_s = min(60.0, float(parse_qs(scope["query_string"]).get(b"wait", [b"0"])[0]))
        reader = self._readers[request_id] = asyncio.get_running_loop().create_future()
        try:
            record = await self._pipeline.ask("GET", request_id)
            if record is not None and b'"status":"queued"' in record:
                with suppress(TimeoutError):
                    record = await asyncio.wait_for(reader, wait_s)
        finally:
            del self._readers[request_id]
        await _answer(send, 404 if record is None else 200, record or b"{}")

    async def _listen(self) -> None:
        subscription = self._redis.pubsub()
        await subscription.subscribe(self._options.name)
        async for message in subscription.listen():
            if message["type"] == "message":
                request_id, _, record = message["data"].partition(b" ")
                reader = self._readers.get(request_id.decode())
                if reader is not None and not reader.done():
                    reader.set_result(record)


class Worker:
    """The worker process: calls the backend for each message, at most PREFETCH at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._pipeline = Pipeline(Redis.from_url(options.redis_url))

    async def run(self) -> None:
        """Work until killed."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=PREFETCH))
        await self.consume()
        await asyncio.Event().wait()

    async def consume(self) -> None:
        """Begin to consume."""
        connection = await aio_pika.connect_robust(self._options.amqp_url)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(self._options.name, durable=True, arguments=_QUORUM)
        await queue.consume(self._deliver)

    async def serve(self, request_id: str, body: bytes) -> None:
        """Do what a message asks for; it may be acked afterwards."""
        async with self._session.post(self._options.backend, data=body, headers=_JSON) as answer:
            content = await answer.read()
        response = {"status_code": answer.status, "body": orjson.Fragment(content)}
        status = "completed" if answer.ok else "failed"
        record = orjson.dumps({"id": request_id, "status": status, "response": response})
        stored = self._pipeline.ask("SET", request_id, record, "EX", RETENTION_S)
        told = f"{request_id} ".encode() + record
        await self._pipeline.ask("PUBLISH", self._options.name, told)
        await stored

    async def _deliver(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        # The context acks in the end, and after a failure puts the message back.
        async with message.process(requeue=True):
            await self.serve(message.message_id or "", message.body)


async def _answer(send: Send, status: int, body: bytes) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(door: type[Door] = Door, worker: type[Worker] = Worker) -> None:
    """Run one of the two processes until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["api", "worker"])
    for name in ("name", "amqp-url", "redis-url", "backend"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if options.part == "worker":
        uvloop.run(worker(options).run())
    else:
        uvicorn.run(door(options), port=options.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
