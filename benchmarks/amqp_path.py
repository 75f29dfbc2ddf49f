"""What a message costs this process on its way through RabbitMQ, in CPU seconds per 1,000.

    python -m benchmarks.amqp_path [--messages 10000] [--rounds 5] [--in-flight 64]

One line for publishes and their confirms, one for deliveries and their acks: median and range over
the rounds, on a RabbitMQ of its own. Only this process's CPU counts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from broker.amqp.adapter import AmqpQueue
from broker.ports import Delivery
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.servers.rabbitmq import RabbitMQNode

BODY = b'{"messages": [{"role": "user", "content": "' + b"x" * 960 + b'"}]}'


async def publish(queue: AmqpQueue, messages: int, in_flight: int) -> None:
    """Publish a message `messages` times, `in_flight` at once, each awaited until confirmed."""
    envelope = make_envelope(body=BODY)
    turns = iter(range(messages))

    async def one_after_another() -> None:
        for _ in turns:
            await queue.publish(envelope)

    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))


async def consume(queue: AmqpQueue, messages: int, prefetch: int) -> None:
    """Take and ack `messages`, each ack in a task of its own as the pool's are."""
    left = messages
    done = asyncio.Event()
    acks = set[asyncio.Task[None]]()

    async def ack(delivery: Delivery) -> None:
        nonlocal left
        await delivery.ack()
        left -= 1
        if not left:
            done.set()

    def deliver(delivery: Delivery) -> None:
        task = asyncio.create_task(ack(delivery))
        acks.add(task)
        task.add_done_callback(acks.discard)

    consumer = await queue.consume("m", Priority.NORMAL, Lane.OPEN, prefetch, deliver)
    await done.wait()
    await consumer.stop()


async def measure(url: str, messages: int, rounds: int, in_flight: int) -> None:
    """Alternate the two and print both lines."""
    queue = AmqpQueue(url, "bench")
    await queue.start()
    while await queue.health() is not None:  # noqa: ASYNC110  because nobody signals it
        await asyncio.sleep(0.1)
    await publish(queue, in_flight, in_flight)
    await consume(queue, in_flight, in_flight)
    spent: dict[str, list[float]] = {"publish + confirm": [], "deliver + ack": []}
    rates: dict[str, list[float]] = {name: [] for name in spent}
    for _ in range(rounds):
        for name, step in zip(spent, (publish, consume), strict=True):
            cpu, wall = time.process_time(), time.perf_counter()
            await step(queue, messages, in_flight)
            spent[name].append((time.process_time() - cpu) * 1000 / messages)
            rates[name].append(messages / (time.perf_counter() - wall))
    for name, values in spent.items():
        print(
            f"{name:18} {statistics.median(values):.4f} CPU s per 1,000 "
            f"({min(values):.4f} to {max(values):.4f}), {statistics.median(rates[name]):,.0f}/s"
        )
    await queue.stop()


def main() -> None:
    """Start a RabbitMQ, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    node = RabbitMQNode(Path(tempfile.mkdtemp(prefix="penstock-bench-")) / "rabbitmq")
    try:
        node.start()
        uvloop.run(measure(node.url, options.messages, options.rounds, options.in_flight))
    finally:
        node.stop()


if __name__ == "__main__":
    main()
