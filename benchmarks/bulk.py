"""Bulk intake beside bare confirmed publishing of the same bytes on the same RabbitMQ, in one run.

    python -m benchmarks.bulk [--rounds 7] [--lines 20000] [--size 1024] [--keys]

Bare is aio-pika, at its best number of messages in flight: persistent messages to a durable quorum
queue, each confirmed. It does nothing else: no parsing, no record, no limits. Penstock is one api
process; its model is paused, so that lines are taken and none is run. Rounds alternate, and bare is
measured twice in each: what lies between those two is noise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractChannel

from benchmarks.servers import Servers
from benchmarks.usage import cpu_s
from tests.fakes.stack import Setup, Stack

MODEL, QUEUE, ADMIN_KEY = "paused", "bare-publish", "a-key-for-the-benchmark"
AIM = 0.7
# Of 64 to 1,024 the fastest for bare publishing.
IN_FLIGHT = 256
_PIECE_LINES = 500
_ALL_WITHIN_S = 120.0


def made_lines(count: int, size: int, *, keys: bool) -> list[bytes]:
    """Return so many lines of `size` bytes without their ends."""
    lines = []
    for number in range(count):
        line: dict[str, Any] = {"body": {"model": MODEL, "messages": []}}
        if keys:
            line["idempotency_key"] = f"{time.time_ns()}-{number}"
        message = {"role": "user", "content": ""}
        line["body"]["messages"] = [message]
        message["content"] = "x" * (size - len(orjson.dumps(line)))
        lines.append(orjson.dumps(line))
    return lines


async def bare(channel: AbstractChannel, lines: Sequence[bytes]) -> float:
    """Publish every line and return how many a second were confirmed."""
    left = iter(lines)

    async def one_after_the_other() -> None:
        for line in left:
            message = aio_pika.Message(
                line,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await channel.default_exchange.publish(message, QUEUE)

    began = time.perf_counter()
    async with asyncio.timeout(_ALL_WITHIN_S):
        await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))
    return len(lines) / (time.perf_counter() - began)


async def bulk(port: int, lines: Sequence[bytes]) -> float:
    """Upload every line and return how many a second were acknowledged."""
    head = (
        "POST /v1/requests:bulk HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: application/x-ndjson\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n"
    )
    pieces = list(_pieces(lines))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()

    async def send() -> None:
        writer.write(head.encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    sending = asyncio.create_task(send())
    last = b""
    async with asyncio.timeout(_ALL_WITHIN_S):
        while b"bulk.summary" not in last:
            piece = await reader.read(65_536)
            assert piece, last
            assert b'"error"' not in piece, piece
            last = (last + piece)[-200:]
    took = time.perf_counter() - began
    await sending
    writer.close()
    assert f'"accepted":{len(lines)},"refused":0'.encode() in last, last
    return len(lines) / took


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    for start in range(0, len(lines), _PIECE_LINES):
        piece = b"".join(line + b"\n" for line in lines[start : start + _PIECE_LINES])
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


async def measure(stack: Stack, servers: Servers, options: argparse.Namespace) -> None:
    """Alternate the two and print the figures."""
    parts = {name.removesuffix("-0"): part.pid for name, part in stack.processes.items()}
    parts |= {"rabbitmq": servers.rabbitmq.pid, "redis": servers.redis.pid}
    ratios: list[float] = []
    controls: list[float] = []
    connection = await aio_pika.connect(servers.rabbitmq.url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        warm_up = made_lines(options.lines // 10, options.size, keys=options.keys)
        await bare(channel, warm_up)
        await bulk(stack.ports[0], warm_up)
        for number in range(1, options.rounds + 1):
            lines = made_lines(options.lines, options.size, keys=options.keys)
            driver = time.process_time()
            one = await bare(channel, lines)
            driver = (time.process_time() - driver) * 1e6 / len(lines)
            before = cpu_s(parts)
            taken = await bulk(stack.ports[0], lines)
            used = {name: after - before[name] for name, after in cpu_s(parts).items()}
            other = await bare(channel, lines)
            ratios.append(taken / statistics.mean((one, other)))
            controls.append(other / one)
            told = "  ".join(f"{name} {s * 1e6 / len(lines):.0f}" for name, s in used.items())
            print(
                f"round {number}  bare {one:6.0f}/s {other:6.0f}/s  bulk {taken:6.0f}/s  "
                f"ratio {ratios[-1]:.2f}  CPU us a line: bare {driver:.0f}; bulk {told}",
                flush=True,
            )
    print(f"bare / bare: {_spread(controls)}")
    print(f"lines a second, bulk / bare: {_spread(ratios)}; aim {AIM}")


def _spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def pause(port: int) -> None:
    """Let the model take lines and run none."""
    url = f"http://127.0.0.1:{port}/admin/v1/models/{MODEL}/pause"
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    asked = urllib.request.Request(url, method="POST", headers=headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310  because it is http
        assert json.load(answer)["state"] == "paused"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=1024, help="bytes of a line")
    parser.add_argument("--keys", action="store_true", help="each line has an idempotency_key")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    with Servers(directory) as servers:
        setup = Setup(
            engine="real",
            backends={"fake": {"urls": [servers.backend_url], "concurrency": 1}},
            models={MODEL: {"targets": [{"backend": "fake"}]}},
            server={"admin_key": ADMIN_KEY},
            workers=1,
            amqp_url=servers.rabbitmq.url,
            redis_url=servers.redis.url,
        )
        with Stack(directory, setup) as stack:
            pause(stack.ports[0])
            uvloop.run(measure(stack, servers, options))


if __name__ == "__main__":
    main()
