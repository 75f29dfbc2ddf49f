"""Every line of a batch is told exactly once, whatever is killed or frozen while it runs."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.gates.figures import Figure
from benchmarks.gates.stage import Stage
from tests.fakes.batching import Account, BatchClient, batch_client, counted, write_input
from tests.fakes.stack import Setup, Stack, backend_process

_MODEL = "jitter-5-40"
_DOWN_S = 1.0
_APIS, _WORKERS = 2, 2


@dataclass(frozen=True, slots=True)
class Size:
    """`frozen_s` is how long each role is stopped: longer than every lease, or 0 for not at all."""

    lines: int
    frozen_s: float
    within_s: float
    cancelled_lines: int


SHORT = Size(lines=900, frozen_s=0, within_s=120, cancelled_lines=6_000)
LONG = Size(lines=20_000, frozen_s=12, within_s=900, cancelled_lines=20_000)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return how far the files are from holding every custom id once, and the counts from them."""
    directory = stage.directory / "batch-losses"
    directory.mkdir(parents=True, exist_ok=True)
    with (
        backend_process(directory) as (url, _),
        Stack(directory, _setup(stage.setup, url)) as stack,
    ):
        figures = asyncio.run(_struck(stack, size))
        broken = [name for name, part in stack.processes.items() if part.tracebacks()]
        assert not broken, stack.logs()
        return figures


def _setup(setup: Setup, url: str) -> Setup:
    """Return a setup whose RabbitMQ and Redis are its own, to be killed."""
    return replace(
        setup,
        backends={"fake": {"urls": [f"{url}/v1"], "concurrency": 64, "timeout_s": 60}},
        models={_MODEL: {"targets": [{"backend": "fake"}], "retry": {"max_attempts": 10}}},
        apis=_APIS,
        workers=_WORKERS,
        amqp_url=None,
        redis_url=None,
    )


async def _struck(stack: Stack, size: Size) -> list[Figure]:
    path = stack.directory / "input.jsonl"
    async with batch_client(stack.urls) as client:
        file_id = await client.upload(write_input(path, size.lines, _MODEL))
        made = await client.create(file_id)
        strikes = await _strike_all(stack, client, made["id"], size)
        ended = await client.ended(made["id"], size.within_s, ["completed"])
        whole = _figures("", ended, await client.account(ended, size.lines))
        assert sum(list(counted(ended))[1:]) == size.lines, ended
        cut = await _cancelled(stack, client, size)
    return [Figure("blows", strikes, low=strikes, high=strikes), *whole, *cut]


async def _strike_all(stack: Stack, client: BatchClient, batch_id: str, size: Size) -> int:
    """Kill each role in turn, then freeze each, with the batch going on between any two."""
    blows = [(role, signal.SIGKILL) for role in stack.roles]
    if size.frozen_s:
        blows += [(role, signal.SIGSTOP) for role in stack.roles]
    step = size.lines // (len(blows) + 1)
    for number, (role, blow) in enumerate(blows):
        await client.until(batch_id, _further_than(step * number), size.within_s)
        await _strike(stack, role, blow, size.frozen_s)
    return len(blows)


def _further_than(lines: int) -> Any:
    return lambda batch: sum(list(counted(batch))[1:]) > lines or batch["status"] == "completed"


async def _strike(stack: Stack, role: str, blow: signal.Signals, frozen_s: float) -> None:
    if blow is signal.SIGKILL:
        await asyncio.to_thread(stack.kill, role)
        await asyncio.sleep(_DOWN_S)
        await asyncio.to_thread(stack.restart, role)
        return
    pid = (stack.processes.get(role) or stack.servers[role]).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(frozen_s)
    finally:
        os.kill(pid, signal.SIGCONT)


async def _cancelled(stack: Stack, client: BatchClient, size: Size) -> list[Figure]:
    """Cancel one while its runner is killed: what was started is told once, the rest is counted."""
    path = stack.directory / "cancelled.jsonl"
    file_id = await client.upload(write_input(path, size.cancelled_lines, _MODEL))
    made = await client.create(file_id)
    await client.until(made["id"], _further_than(size.cancelled_lines // 10), size.within_s)
    await client.cancel(made["id"])
    runner = next(role for role in stack.processes if not role.startswith("api"))
    await _strike(stack, runner, signal.SIGKILL, 0)
    ended = await client.ended(made["id"], size.within_s, ["cancelled"])
    account = await client.account(ended, size.cancelled_lines)
    told = Figure("cancelled: lines that were told", account.output + account.errors)
    return [*_figures("cancelled: ", ended, account), told]


def _figures(where: str, batch: dict[str, Any], account: Account) -> list[Figure]:
    total, completed, failed = counted(batch)
    left_out = total - completed - failed
    return [
        Figure(f"{where}custom ids told more than once", account.repeated, low=0, high=0),
        Figure(f"{where}custom ids nobody sent", len(account.unknown), low=0, high=0),
        Figure(f"{where}custom ids told nowhere", account.missing, low=left_out, high=left_out),
        Figure(f"{where}lines counted", total, low=account.lines, high=account.lines),
        Figure(f"{where}output lines", account.output, low=completed, high=completed),
        Figure(f"{where}error lines", account.errors, low=failed, high=failed),
    ]
