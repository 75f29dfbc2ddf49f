"""How long after a request's commit its webhook arrives, while requests come at a steady rate.

    python -m benchmarks.webhook_push [--engine real|embedded] [--rate 50] [--seconds 20]

The event tells when the request was committed (`finished_at`); the receiver is this process.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import get_args

import aiohttp
from aiohttp import web

from benchmarks.held_call import percentile, servers
from tests.fakes.stack import Engine, Setup, Stack, backend_process
from tests.servers.ports import reserve

MODEL = "echo"
AIM_MS = 250
_ALL_WITHIN_S = 60.0


class Receiver:
    """Answers 200, and notes for each request how long after its commit its event came."""

    def __init__(self) -> None:
        self.late_ms: dict[str, float] = {}
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Event()

    async def all_came(self, count: int) -> None:
        """Return once so many events came."""
        while len(self.late_ms) < count:
            self._news.clear()
            await self._news.wait()

    async def start(self, port: int) -> None:
        """Begin to listen on loopback."""
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        came = time.time()
        ended = (await request.json())["data"]
        self.late_ms.setdefault(ended["id"], (came - ended["finished_at"]) * 1000)
        self._news.set()
        return web.Response()


async def submit(url: str, hook: str, rate: float, seconds: float) -> int:
    """Submit requests at Poisson instants; return how many."""
    draw, due, tasks = random.Random(7), time.perf_counter(), []
    until = due + seconds
    body = {"body": {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}}

    async def one(session: aiohttp.ClientSession) -> None:
        async with session.post(f"{url}/v1/requests", json={**body, "webhook": hook}) as answer:
            assert answer.status == 202, await answer.text()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(session)))
            due += draw.expovariate(rate)
        await asyncio.gather(*tasks)
    return len(tasks)


async def measure(url: str, port: int, rate: float, seconds: float) -> None:
    """Run the load and print how late the events came."""
    receiver = Receiver()
    await receiver.start(port)
    try:
        sent = await submit(url, f"http://127.0.0.1:{port}/", rate, seconds)
        async with asyncio.timeout(_ALL_WITHIN_S):
            await receiver.all_came(sent)
    finally:
        await receiver.stop()
    late = list(receiver.late_ms.values())
    told = "  ".join(f"p{share:g} {percentile(late, share / 100):.1f} ms" for share in (50, 95, 99))
    print(f"{sent} events  {told}  worst {max(late):.1f} ms  (aim: p95 {AIM_MS} ms)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=get_args(Engine), default="real")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    directory, port = Path(tempfile.mkdtemp(prefix="penstock-bench-")), reserve()
    with (
        servers(options.engine, directory) as (amqp_url, redis_url),
        backend_process(directory) as (backend, _),
    ):
        setup = Setup(
            engine=options.engine,
            backends={"fake": {"urls": [f"{backend}/v1"], "concurrency": 64}},
            models={MODEL: {"targets": [{"backend": "fake"}]}},
            more={"webhooks": {"allow": [f"127.0.0.1:{port}"]}},
            workers=2,
            amqp_url=amqp_url,
            redis_url=redis_url,
        )
        with Stack(directory, setup) as stack:
            asyncio.run(measure(stack.url, port, options.rate, options.seconds))


if __name__ == "__main__":
    main()
