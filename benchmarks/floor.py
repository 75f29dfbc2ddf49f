"""The floor: the reference on AMQP by hand instead of on aio-pika.

    python -m benchmarks.floor api|worker …

It only says whether the reference is what it claims to be: if that is much slower than usual beside
this, or about as fast, then something is wrong with the run and not with Penstock.
"""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.raw_amqp import RawAmqp
from benchmarks.reference import PREFETCH, Door, Worker, main


class FloorDoor(Door):
    """The api process on raw AMQP."""

    async def connect(self) -> None:
        """Connect to RabbitMQ."""
        self._amqp = await RawAmqp.open(self._options.amqp_url, self._options.name)

    async def publish(self, request_id: str, body: bytes) -> None:
        """Publish a message and wait for its confirm."""
        await self._amqp.publish(request_id, body)


class FloorWorker(Worker):
    """The worker process on raw AMQP."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._tasks: set[asyncio.Task[None]] = set()

    async def consume(self) -> None:
        """Begin to consume."""
        self._amqp = await RawAmqp.open(self._options.amqp_url, self._options.name)
        await self._amqp.consume(self._options.name, PREFETCH, self._begin)

    def _begin(self, tag: int, request_id: str, body: bytes) -> None:
        task = asyncio.create_task(self._serve_and_ack(tag, request_id, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_and_ack(self, tag: int, request_id: str, body: bytes) -> None:
        await self.serve(request_id, body)
        self._amqp.ack(tag)


if __name__ == "__main__":
    main(FloorDoor, FloorWorker)
