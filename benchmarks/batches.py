"""Batches beside the reference pipeline, and beside live calls, each in one run.

    python -m benchmarks.batches throughput [--lines 50000] [--rounds 3]
    python -m benchmarks.batches live [--rounds 9] [--seconds 20]

`throughput`: completed lines a second, backend 0 ms, over those of the reference pipeline used as a
library on the same servers; rounds of both alternate. `live`: what Penstock adds to a `normal` call
at p95 while a batch of a million lines runs, over the same while it is paused.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.held_call import percentile
from benchmarks.servers import Servers
from benchmarks.systems import IN_FLIGHT, model_name
from tests.fakes.batching import BatchClient, batch_client, counted, write_input
from tests.fakes.process import ROOT, Process
from tests.fakes.stack import Setup, Stack

THROUGHPUT_AIM, LIVE_AIM = 0.8, 1.1
BODY_BYTES = 1_024
BACKEND_MS, SLOTS, LIVE_PER_S = 100, 8, 10.0
LIVE_LINES = 1_000_000
_WARM_UP_LINES = 1_000
_REFERENCE = "batch-reference"
_WITHIN_S = 1_200.0
_SETTLES_S = 3.0


async def throughput(servers: Servers, stack: Stack, lines: int, rounds: int) -> None:
    """Alternate the two and print their quotient."""
    model, ratios = model_name(0), []
    source = write_input(servers.directory / "lines.jsonl", lines, model, BODY_BYTES)
    warm = write_input(servers.directory / "warm.jsonl", _WARM_UP_LINES, model, BODY_BYTES)
    async with batch_client(stack.urls) as client:
        await _batch_s(client, warm, _WARM_UP_LINES)
        await asyncio.to_thread(_reference_s, servers, warm)
        for number in range(1, rounds + 1):
            ours = lines / await _batch_s(client, source, lines)
            theirs = lines / await asyncio.to_thread(_reference_s, servers, source)
            ratios.append(ours / theirs)
            told = f"batch {ours:6.0f}/s  reference {theirs:6.0f}/s  ratio {ratios[-1]:.2f}"
            print(f"round {number}  {told}", flush=True)
    _print("completed lines a second ÷ reference pipeline", ratios, f"aim ≥ {THROUGHPUT_AIM}")


async def _batch_s(client: BatchClient, source: Path, lines: int) -> float:
    """Return the seconds from creating a batch to its end; its file is there already."""
    file_id = await client.upload(source)
    began = time.perf_counter()
    batch = await client.create(file_id)
    ended = await client.ended(batch["id"], _WITHIN_S, ["completed"])
    took_s = time.perf_counter() - began
    assert list(counted(ended)) == [lines, lines, 0], ended
    return took_s


def _reference_s(servers: Servers, source: Path) -> float:
    target = servers.directory / "reference.jsonl"
    urls = ["--amqp-url", servers.rabbitmq.url, "--redis-url", _reference_redis(servers)]
    command = [sys.executable, "-m", "benchmarks.batch_reference", str(source), str(target)]
    told = subprocess.run(
        [*command, "--name", _REFERENCE, *urls],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    with source.open("rb") as asked, target.open("rb") as answered:
        assert sum(1 for _ in asked) == sum(1 for _ in answered)
    return float(told.stdout)


async def live(stack: Stack, directory: Path, rounds: int, seconds: float) -> None:
    """Alternate live calls beside a running batch and beside a paused one."""
    model = model_name(BACKEND_MS)
    path = write_input(directory / "million.jsonl", LIVE_LINES, model)
    ratios, control = [], []
    async with batch_client(stack.urls) as client, aiohttp.ClientSession() as session:
        batch = await client.create(await client.upload(path))
        await client.until(batch["id"], lambda each: sum(counted(each)) > LIVE_LINES, _WITHIN_S)
        for number in range(1, rounds + 1):
            await client.pause(batch["id"])
            await client.until(batch["id"], _rests, _WITHIN_S)
            alone, again = [await _p95_ms(session, stack, model, seconds) for _ in range(2)]
            await client.resume(batch["id"])
            beside = await _p95_ms(session, stack, model, seconds)
            ratios.append(beside / alone)
            control.append(again / alone)
            told = f"alone {alone:5.2f} ms, again {again:5.2f} ms, beside a batch {beside:5.2f} ms"
            print(f"round {number}  added at p95: {told}", flush=True)
        batch = await client.get(batch["id"])
        print(f"the batch meanwhile: {batch['request_counts']}")
        await client.cancel(batch["id"])
    _print("added at p95, alone ÷ alone", control, "A/A")
    _print("added at p95, beside a batch ÷ alone", ratios, f"aim ≤ {LIVE_AIM}")


def _rests(batch: dict[str, Any]) -> bool:
    """Whether none of its lines runs or waits: those that a pause found under way go on."""
    return not batch["penstock"]["running"]


async def _p95_ms(
    session: aiohttp.ClientSession, stack: Stack, model: str, seconds: float
) -> float:
    """Return what is added to the backend's time, in ms, over calls that come at random."""
    await asyncio.sleep(_SETTLES_S)
    draw, took, ends_at = random.Random(1), list[float](), time.monotonic() + seconds
    async with asyncio.TaskGroup() as calls:
        while time.monotonic() < ends_at:
            calls.create_task(_call(session, f"{stack.url}/v1/chat/completions", model, took))
            await asyncio.sleep(draw.expovariate(LIVE_PER_S))
    return percentile(took, 0.95) - BACKEND_MS


async def _call(session: aiohttp.ClientSession, url: str, model: str, took: list[float]) -> None:
    asked = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    began = time.perf_counter()
    async with session.post(url, json=asked) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
    took.append((time.perf_counter() - began) * 1000)


def _print(what: str, ratios: list[float], aim: str) -> None:
    low, high = min(ratios), max(ratios)
    print(f"{what}: median {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}; {aim})")


def _reference_redis(servers: Servers) -> str:
    return f"{servers.redis.url.removesuffix('/0')}/1"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["throughput", "live"])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    with Servers(directory) as servers:
        if options.what == "throughput":
            with (
                Stack(directory, _setup(servers, 0, IN_FLIGHT)) as stack,
                _reference_worker(servers),
            ):
                asyncio.run(throughput(servers, stack, options.lines, options.rounds or 3))
        else:
            with Stack(directory, _setup(servers, BACKEND_MS, SLOTS)) as stack:
                asyncio.run(live(stack, directory, options.rounds or 9, options.seconds))


def _setup(servers: Servers, wait_ms: int, slots: int) -> Setup:
    return Setup(
        engine="real",
        backends={"fake": {"urls": [servers.backend_url], "concurrency": slots}},
        models={model_name(wait_ms): {"targets": [{"backend": "fake"}]}},
        workers=2,
        amqp_url=servers.rabbitmq.url,
        redis_url=servers.redis.url,
    )


@contextmanager
def _reference_worker(servers: Servers) -> Iterator[None]:
    """Run the reference's worker; idle while Penstock has its turn, as Penstock is in the other."""
    backend = f"{servers.backend_url}/chat/completions"
    urls = ["--amqp-url", servers.rabbitmq.url, "--redis-url", _reference_redis(servers)]
    arguments = ["worker", "--name", _REFERENCE, "--backend", backend, *urls]
    log = servers.directory / "reference.log"
    worker = Process("reference", "benchmarks.reference", arguments, log)
    worker.start()
    try:
        yield
    finally:
        worker.kill()


if __name__ == "__main__":
    main()
