"""Slots are exact over all processes: a backend of eight never sees nine calls at once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.account import Account
from tests.chaos.client import Client
from tests.chaos.load import backlog_gone, drain
from tests.chaos.slots import limits_left, slots_held, slots_left
from tests.fakes.stack import Setup, Stack, backend_process

LIMIT = 8
WORKERS = 4
REQUESTS = 10_000
BACKEND, MODEL = "fake", "jitter-5-35"
BACKLOG, AT_ONCE = 300, 16


@pytest.mark.chaos
@pytest.mark.realservers
@pytest.mark.timeout(400)
def test_a_limit_of_eight_holds_while_workers_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(10_000)
    print(f"seed {seed}")
    with backend_process(tmp_path) as (url, _):
        setup = Setup(
            engine="real",
            backends={BACKEND: {"urls": [f"{url}/v1"], "concurrency": LIMIT, "timeout_s": 10}},
            models={MODEL: {"targets": [{"backend": BACKEND}], "max_parallel_requests": 100}},
            # Wide enough to hold nothing back: what they count must be gone at the end.
            more={"tenants": {"default": {"models": ["*"], "rpm": 1_000_000, "tpm": 100_000_000}}},
            workers=WORKERS,
        )
        with Stack(tmp_path, setup) as stack:
            asyncio.run(_check(stack, url, random.Random(seed)))


async def _check(stack: Stack, backend_url: str, draw: random.Random) -> None:
    account = Account("slots")
    async with aiohttp.ClientSession() as session:
        client = Client(session, stack.urls, MODEL)
        load = asyncio.create_task(_load(client, account, backend_url))
        kills = await _kill_workers(stack, draw, load)
        await load
        # If this is 0, what is found at the end says nothing.
        assert await slots_held(stack.servers["redis"].url, BACKEND)
        await drain(client, account, [entry for entry in account.entries if entry.id], 60)
        assert not await backlog_gone(client, 20)
        assert not await slots_left(stack.servers["redis"].url, BACKEND)
        assert not await limits_left(stack.servers["redis"].url)
        async with session.get(f"{backend_url}/ledger", params={"summary": ""}) as told:
            summary = await told.json()
    ends = [entry for entry in account.entries if entry.id and entry.status != "completed"]
    print(f"{len(account.entries)} submitted, {kills}, {summary}")
    assert not stack.died(), stack.logs()
    assert summary["high_water"] == LIMIT
    # A request that met three kills in a row may be set aside; nothing else may end otherwise.
    assert {entry.error_code for entry in ends} <= {"poisoned"}


async def _kill_workers(
    stack: Stack, draw: random.Random, load: asyncio.Task[None]
) -> dict[str, int]:
    """SIGKILL or SIGTERM one worker after another while there is load; most always run."""
    counts = {"SIGKILL": 0, "SIGTERM": 0}
    await asyncio.sleep(3)
    while not load.done():
        role = f"worker-{draw.randrange(WORKERS)}"
        if draw.random() < 0.5:
            counts["SIGKILL"] += 1
            await asyncio.to_thread(stack.kill, role)
        else:
            counts["SIGTERM"] += 1
            code = await asyncio.to_thread(stack.terminate, role)
            # Before it serves there is nothing to finish, and no handler of signals yet.
            born = stack.processes[role].text().rpartition("--- start")[2]
            assert code == 0 or "serves" not in born, stack.logs()
        await asyncio.sleep(draw.uniform(0.1, 1.0))
        await asyncio.to_thread(stack.restart, role)
        await asyncio.sleep(draw.uniform(0.5, 2.0))
    return counts


async def _load(client: Client, account: Account, backend_url: str) -> None:
    """Keep a backlog, so that every slot is always wanted, until enough are accepted."""
    seen = 0
    while (missing := REQUESTS - len(account.accepted_ids)) > 0:
        async with client.session.get(
            f"{backend_url}/ledger", params={"answered_from": str(seen)}
        ) as told:
            answered = (await told.json())["answered"]
        seen += len(answered)
        account.answer(answered)
        room = min(missing, BACKLOG - account.in_flight, AT_ONCE)
        if room <= 0:
            await asyncio.sleep(0.05)
        await asyncio.gather(
            *(client.submit(account, door=0, priority="normal") for _ in range(room))
        )
