"""What a batch costs in memory does not grow with its lines, and a long one ends soon when told to.

The memory of every process is sampled while a short batch runs and while a long one does.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from benchmarks.gates.figures import Figure
from benchmarks.gates.stage import Stage
from tests.fakes.batching import BatchClient, batch_client, counted, write_input
from tests.fakes.stack import Setup, Stack, backend_process

_MODEL = "echo"
_MIB = 1024 * 1024
_MOST_GROWTH_MIB = 20
_CANCELLED_WITHIN_S = 10
_SAMPLE_EVERY_S = 1.0
# Whatever is only passing through calms down.
_CALM_S = 3.0


@dataclass(frozen=True, slots=True)
class Size:
    """`few` and `many` are lines; `large_mib` is the size of a file that has to pass.

    The long batch is watched until so many `watched` lines have ended, and is then cancelled.
    """

    few: int
    many: int
    watched: int
    large_mib: int
    within_s: float


SHORT = Size(few=300, many=10_000, watched=1_200, large_mib=10, within_s=100)
LONG = Size(few=10_000, many=1_000_000, watched=1_000_000, large_mib=200, within_s=7_200)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return how much each process grows, and how long a cancel takes."""
    directory = stage.directory / "batch-sizes"
    directory.mkdir(parents=True, exist_ok=True)
    with (
        backend_process(directory) as (url, _),
        Stack(directory, _setup(stage.setup, url)) as stack,
    ):
        figures = asyncio.run(_sized(stack, size))
        assert not stack.died(), stack.logs()
        broken = [name for name, part in stack.processes.items() if part.tracebacks()]
        assert not broken, stack.logs()
        return figures


def _setup(setup: Setup, url: str) -> Setup:
    """Return a setup with servers of its own, whose memory is measured as well."""
    return replace(
        setup,
        backends={"fake": {"urls": [f"{url}/v1"], "concurrency": 64}},
        models={_MODEL: {"targets": [{"backend": "fake"}]}},
        apis=1,
        workers=2,
        amqp_url=None,
        redis_url=None,
    )


async def _sized(stack: Stack, size: Size) -> list[Figure]:
    async with batch_client(stack.urls) as client:
        few = await _watched(stack, client, size.few, size.few, size.within_s)
        many = await _watched(stack, client, size.many, size.watched, size.within_s)
        cancelled_s = await _cancelled_s(stack, client, size)
        more = f"MiB more with {size.many} lines than with {size.few}"
        figures = [
            Figure(f"{role}: {more}", many[role] - mib, high=_most_growth_mib(role))
            for role, mib in few.items()
        ]
        figures += [Figure(f"{role}: MiB at most", mib) for role, mib in many.items()]
        figures.append(
            Figure("s from cancel to the end", cancelled_s, low=0, high=_CANCELLED_WITHIN_S)
        )
        figures.append(await _large(stack, client, size))
    return figures


def _most_growth_mib(role: str) -> float:
    """Return the bound; RabbitMQ keeps up to 512 MiB of its log in memory, however little waits."""
    return math.inf if role == "rabbitmq" else _MOST_GROWTH_MIB


async def _watched(
    stack: Stack, client: BatchClient, lines: int, until: int, within_s: float
) -> dict[str, float]:
    """Return the most memory of each role while a batch runs; a long one is cancelled then."""
    path = write_input(stack.directory / f"{lines}.jsonl", lines, _MODEL)
    most: defaultdict[str, float] = defaultdict(float)
    sampling = asyncio.create_task(_sample(stack, most))
    try:
        file_id = await client.upload(path)
        began = time.monotonic()
        batch = await client.create(file_id)
        await client.until(batch["id"], lambda each: sum(counted(each)) - lines >= until, within_s)
        took_s = time.monotonic() - began
        print(f"{until} of {lines} lines in {took_s:.1f} s, {until / took_s:.0f}/s", flush=True)
        await client.cancel(batch["id"])
        await client.ended(batch["id"], _CANCELLED_WITHIN_S * 3, ["completed", "cancelled"])
        await asyncio.sleep(_CALM_S)
    finally:
        sampling.cancel()
        path.unlink()
    return dict(most)


async def _sample(stack: Stack, most: defaultdict[str, float]) -> None:
    while True:
        for role in stack.roles:
            process = stack.processes.get(role) or stack.servers[role]
            with suppress(psutil.NoSuchProcess):
                mib = await asyncio.to_thread(_pss_mib, process.pid)
                most[role] = max(most[role], mib)
        await asyncio.sleep(_SAMPLE_EVERY_S)


def _pss_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / _MIB


async def _cancelled_s(stack: Stack, client: BatchClient, size: Size) -> float:
    """Return how long a running batch takes to end; it says `cancelling` in its answer."""
    path = write_input(stack.directory / "cancelled.jsonl", size.many, _MODEL)
    batch = await client.create(await client.upload(path))
    await client.until(batch["id"], lambda each: sum(counted(each)) > size.many, size.within_s)
    began = time.monotonic()
    answer = await client.cancel(batch["id"])
    assert answer["status"] == "cancelling", answer
    assert answer["cancelling_at"], answer
    ended = await client.ended(batch["id"], _CANCELLED_WITHIN_S * 3, ["cancelled"])
    took_s = time.monotonic() - began
    account = await client.account(ended, size.many)
    total, completed, failed = counted(ended)
    assert (account.output, account.errors) == (completed, failed), ended
    assert account.output > 0, "the output that there was is kept"
    assert (account.repeated, total) == (0, size.many), ended
    path.unlink()
    return took_s


async def _large(stack: Stack, client: BatchClient, size: Size) -> Figure:
    """Send a file of few and long lines, and read it back."""
    path = stack.directory / "large.jsonl"
    written = size.large_mib
    write_input(path, written, _MODEL, body_bytes=_MIB)
    batch = await client.create(await client.upload(path))
    ended = await client.ended(batch["id"], size.within_s, ["completed"])
    account = await client.account(ended, written)
    path.unlink()
    what = f"lines of a file of {size.large_mib} MiB told once"
    return Figure(what, account.output - account.repeated, low=written, high=written)
