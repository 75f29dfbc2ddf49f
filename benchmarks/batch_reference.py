"""The reference pipeline used as a library: a file of batch lines in, a file of their answers out.

    python -m benchmarks.batch_reference IN OUT --name … --amqp-url … --redis-url …

Publishes each line as benchmarks.reference's door does, at most IN_FLIGHT at once, and writes each
answer as its worker tells it. Nothing is resumed, limited, counted or ordered.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from pathlib import Path
from typing import BinaryIO

import orjson
import uvloop
from redis.asyncio import Redis

from benchmarks.reference import RETENTION_S, Door

IN_FLIGHT = 1_000


class Library(Door):
    """The door's parts without HTTP."""

    async def run(self, source: Path, target: Path) -> float:
        """Return the seconds that it took."""
        await self.connect()
        room = asyncio.Semaphore(IN_FLIGHT)
        waiting: dict[str, str] = {}
        heard = asyncio.Event()
        with source.open("rb") as lines, target.open("wb") as out:
            collecting = asyncio.create_task(self._collect(out, waiting, room, heard))
            await heard.wait()
            began = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for line in lines:
                    await room.acquire()
                    asked = orjson.loads(line)
                    request_id = f"req_{uuid.uuid4().hex}"
                    waiting[request_id] = asked["custom_id"]
                    tasks.create_task(self._submit_line(request_id, asked["body"]))
            # All the room is back once every answer is written.
            for _ in range(IN_FLIGHT):
                await room.acquire()
            took_s = time.perf_counter() - began
            collecting.cancel()
        return took_s

    async def _submit_line(self, request_id: str, body: dict[str, object]) -> None:
        record = orjson.dumps({"id": request_id, "status": "queued", "model": body["model"]})
        await self._pipeline.ask("SET", request_id, record, "EX", RETENTION_S)
        await self.publish(request_id, orjson.dumps(body))

    async def _collect(
        self,
        out: BinaryIO,
        waiting: dict[str, str],
        room: asyncio.Semaphore,
        heard: asyncio.Event,
    ) -> None:
        subscription = Redis.from_url(self._options.redis_url).pubsub()
        await subscription.subscribe(self._options.name)
        async for message in subscription.listen():
            if message["type"] == "subscribe":
                heard.set()
                continue
            request_id, _, record = message["data"].partition(b" ")
            told = orjson.loads(record)
            custom_id = waiting.pop(request_id.decode())
            answer = {"custom_id": custom_id, "response": told["response"], "error": None}
            out.write(orjson.dumps({"id": told["id"], **answer}) + b"\n")
            room.release()


def main() -> None:
    """Run once and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    for name in ("name", "amqp-url", "redis-url"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()

    async def run() -> float:
        return await Library(options).run(options.source, options.target)

    print(uvloop.run(run()), flush=True)


if __name__ == "__main__":
    main()
