"""A request by AMQP and its reply, beside a bare RPC server on the same RabbitMQ, in one run.

    python -m benchmarks.amqp_rpc [--rounds 5] [--requests 1000]

The bare server takes a message from a classic queue, calls the same backend by aiohttp and replies:
nothing is durable, ordered or limited. Rounds of both alternate. Both sides confirm publishes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from benchmarks.held_call import percentile
from benchmarks.servers import Servers
from benchmarks.systems import IN_FLIGHT, model_name
from tests.fakes.process import Process
from tests.fakes.stack import Setup, Stack

MODEL = model_name(0)
QUEUE = "bare-rpc"
AIM_MS, AIM_RATIO = 4, 0.6
SIZE = 1024
_WARM_UP = 200
_ALL_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where requests are published, and as what."""

    exchange: AbstractExchange
    key: str
    body: bytes
    kind: str | None = None


class Asker:
    """Asks over one channel, and matches replies by their correlation id."""

    def __init__(self, replies: str) -> None:
        self._replies = replies
        self._open: dict[str, asyncio.Future[AbstractIncomingMessage]] = {}

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Hand a reply to who waits for it."""
        self._open.pop(message.correlation_id or "").set_result(message)

    async def ask(self, way: Way) -> float:
        """Return how long the reply took, in ms. Raises AssertionError on a wrong one."""
        name = uuid4().hex
        reply = self._open[name] = asyncio.get_running_loop().create_future()
        message = aio_pika.Message(
            way.body,
            content_type="application/json",
            correlation_id=name,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            reply_to=self._replies,
            user_id="guest",
        )
        began = time.perf_counter()
        await way.exchange.publish(message, way.key)
        told = await reply
        took = (time.perf_counter() - began) * 1000
        assert told.type == way.kind, told.body
        return took

    async def many(self, way: Way, requests: int, in_flight: int) -> tuple[float, list[float]]:
        """Return the requests a second with so many in flight, and what each took in ms."""
        left = iter(range(requests))
        took: list[float] = []

        async def one_after_the_other() -> None:
            took.extend([await self.ask(way) for _ in left])

        began = time.perf_counter()
        async with asyncio.timeout(_ALL_WITHIN_S):
            await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
        return requests / (time.perf_counter() - began), took


async def measure(amqp_url: str, rounds: int, requests: int) -> None:
    """Alternate the two and print both figures."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        asker = Asker(queue.name)
        await queue.consume(asker.take, no_ack=True)
        bare, penstock = await _ways(channel)
        for way in (bare, penstock):
            await asker.many(way, _WARM_UP, IN_FLIGHT)
        alone: dict[str, list[float]] = {"bare": [], "penstock": []}
        ratios: list[float] = []
        for number in range(1, rounds + 1):
            rates: dict[str, float] = {}
            for name, way in (("bare", bare), ("penstock", penstock)):
                alone[name] += (await asker.many(way, requests // 5, 1))[1]
                rates[name], _ = await asker.many(way, requests, IN_FLIGHT)
            ratios.append(rates["penstock"] / rates["bare"])
            told = "  ".join(f"{name} {rate:6.0f}/s" for name, rate in rates.items())
            print(f"round {number}  {told}  ratio {ratios[-1]:.2f}", flush=True)
    for name, took in alone.items():
        aim = f" (aim {AIM_MS})" if name == "penstock" else ""
        print(f"{name}, 1 in flight: p50 {percentile(took, 0.5):.2f} ms{aim}")
    low, high = min(ratios), max(ratios)
    print(
        f"rate, {IN_FLIGHT} in flight, Penstock / bare: median {statistics.median(ratios):.2f} "
        f"({low:.2f} to {high:.2f}; aim {AIM_RATIO})"
    )


async def _ways(channel: AbstractChannel) -> tuple[Way, Way]:
    chat = {"model": MODEL, "messages": [{"role": "user", "content": ""}]}
    chat["messages"] = [{"role": "user", "content": "x" * (SIZE - len(orjson.dumps(chat)))}]
    body = orjson.dumps(chat)
    assert len(body) == SIZE
    # The bare server may be about to.
    await channel.declare_queue(QUEUE)
    intake = await channel.get_exchange("penstock.intake")
    wrapped = orjson.dumps({"body": chat})
    return (
        Way(channel.default_exchange, QUEUE, body),
        Way(intake, f"{MODEL}.normal", wrapped, "request.completed"),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    with Servers(directory) as servers:
        setup = Setup(
            engine="real",
            backends={"fake": {"urls": [servers.backend_url], "concurrency": IN_FLIGHT}},
            models={MODEL: {"targets": [{"backend": "fake"}]}},
            workers=1,
            amqp_url=servers.rabbitmq.url,
            redis_url=servers.redis.url,
        )
        bare = Process(
            "bare",
            "benchmarks.bare_rpc",
            [servers.rabbitmq.url, QUEUE, f"{servers.backend_url}/chat/completions"],
            directory / "bare.log",
        )
        with Stack(directory, setup):
            bare.start()
            try:
                asyncio.run(measure(servers.rabbitmq.url, options.rounds, options.requests))
            finally:
                bare.kill()


if __name__ == "__main__":
    main()
