"""What the tests of the RabbitMQ adapter share: queues of their own, and a look from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import aiormq
from aiormq.abc import AbstractChannel

from broker.amqp.adapter import AmqpQueue
from broker.topology import Topology
from schemas.priority import PRIORITIES, Lane


@asynccontextmanager
async def running(
    url: str, namespace: str | None = None, *, new_queue_s: float = 0.0
) -> AsyncIterator[AmqpQueue]:
    """A started queue in a namespace of its own, which is removed afterwards."""
    name = namespace or f"t{uuid4().hex[:8]}"
    queue = AmqpQueue(url, name, new_queue_s=new_queue_s)
    await queue.start()
    try:
        yield queue
    finally:
        await queue.stop()
        if namespace is None:
            await remove(url, name)


@asynccontextmanager
async def outside(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel that Penstock knows nothing about."""
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def remove(url: str, namespace: str) -> None:
    """Delete what the tests declare in `namespace`."""
    topology = Topology(namespace)
    shared = topology.shared_queues() + topology.intake_queues()
    queues = [spec.name for spec in shared]
    queues += [
        topology.work_queue("m", priority, lane).name for priority in PRIORITIES for lane in Lane
    ]
    async with outside(url) as channel:
        for name in queues:
            await channel.queue_delete(name)
        for exchange in topology.exchanges():
            await channel.exchange_delete(exchange.name)


async def eventually(
    holds: Callable[[], Awaitable[bool]], timeout_s: float = 20.0, every_s: float = 0.1
) -> float:
    """Wait until `holds()`; return the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not await holds():  # noqa: ASYNC110  because nobody signals what we look for
            await asyncio.sleep(every_s)
    return time.monotonic() - began


async def healthy(queue: AmqpQueue, timeout_s: float = 20.0) -> float:
    """Wait until the queue says that all is well."""

    async def well() -> bool:
        return await queue.health() is None

    return await eventually(well, timeout_s)
