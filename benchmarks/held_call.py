"""What Penstock adds to a held call: open loop at a fixed rate, beside direct calls, in one run.

    python -m benchmarks.held_call [--engine real|embedded] [--rate 100] [--seconds 20]

Rounds of direct calls and of calls through Penstock alternate on the same fake backend. Latency is
counted from the instant a call was due, so that a stall is not hidden by the calls it delays.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import aiohttp

from tests.fakes.stack import Engine, Setup, Stack, backend_process
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisServer

MODEL = "slow-20"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 900}], "max_tokens": 16}
ROUNDS = 5
WARM_UP = 200


async def open_loop(
    session: aiohttp.ClientSession, url: str, rate: float, seconds: float
) -> list[float]:
    """Return the latencies in ms of calls made at Poisson instants."""
    latencies: list[float] = []
    draw = random.Random(7)

    async def call(due: float) -> None:
        async with session.post(f"{url}/v1/chat/completions", json=BODY) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        latencies.append((time.perf_counter() - due) * 1000)

    tasks: list[asyncio.Task[None]] = []
    due = time.perf_counter()
    until = due + seconds
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(call(due)))
        due += draw.expovariate(rate)
    await asyncio.gather(*tasks)
    return latencies


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def measure(direct: str, door: str, rate: float, seconds: float) -> None:
    """Alternate the two and print what is added, by round and over all."""
    added: dict[str, list[float]] = {"p50": [], "p99": []}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await open_loop(session, door, rate, WARM_UP / rate)
        for number in range(1, ROUNDS + 1):
            plain = await open_loop(session, direct, rate, seconds / ROUNDS)
            held = await open_loop(session, door, rate, seconds / ROUNDS)
            line = f"round {number}"
            for name, share in (("p50", 0.50), ("p99", 0.99)):
                one, other = percentile(plain, share), percentile(held, share)
                added[name].append(other - one)
                line += (
                    f"  {name}: direct {one:6.2f}  held {other:6.2f}  added {other - one:6.2f} ms"
                )
            print(line, flush=True)
    for name, values in added.items():
        low, high = min(values), max(values)
        print(f"added {name}: median {statistics.median(values):.2f} ms ({low:.2f} to {high:.2f})")


@contextlib.contextmanager
def servers(engine: Engine, directory: Path) -> Iterator[tuple[str | None, str | None]]:
    """Run RabbitMQ, and Redis with AOF everysec, for the real engine."""
    if engine == "embedded":
        yield None, None
        return
    rabbitmq = RabbitMQNode(directory / "rabbitmq")
    redis = RedisServer(directory / "redis", appendfsync="everysec")
    try:
        rabbitmq.start()
        redis.start()
        yield rabbitmq.url, redis.url
    finally:
        redis.stop()
        rabbitmq.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=get_args(Engine), default="real")
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=50)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    with (
        servers(options.engine, directory) as (amqp_url, redis_url),
        backend_process(directory) as (backend, _),
    ):
        setup = Setup(
            engine=options.engine,
            backends={"fake": {"urls": [f"{backend}/v1"], "concurrency": 64}},
            models={MODEL: {"targets": [{"backend": "fake"}]}},
            workers=1,
            amqp_url=amqp_url,
            redis_url=redis_url,
        )
        with Stack(directory, setup) as stack:
            time.sleep(3)
            for name, process in stack.processes.items():
                print(f"idle {name}: PSS {process.memory_kib('Pss') / 1024:.1f} MiB")
            asyncio.run(measure(backend, stack.url, options.rate, options.seconds))


if __name__ == "__main__":
    main()
