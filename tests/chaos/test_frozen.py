"""A worker frozen beyond its leases: its own calls come on top, and it drops them on waking."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.account import Account
from tests.chaos.client import Client
from tests.chaos.load import backlog_gone, drain
from tests.chaos.slots import limits_left, slots_left, slots_until
from tests.fakes.stack import Setup, Stack, backend_process

LIMIT = 8
WORKERS = 4
# Much longer than the test waits: no call of the frozen worker ends by itself.
BACKEND, MODEL = "fake", "slow-20000"
REQUESTS = 24
LEASE_S, QUIET_S = 8.0, 4.5


@pytest.mark.chaos
@pytest.mark.realservers
@pytest.mark.timeout(300)
def test_a_frozen_worker_drops_what_it_has_lost_when_it_wakes(tmp_path: Path) -> None:
    with backend_process(tmp_path, MODEL) as (url, _):
        setup = Setup(
            engine="real",
            backends={BACKEND: {"urls": [f"{url}/v1"], "concurrency": LIMIT, "timeout_s": 60}},
            models={MODEL: {"targets": [{"backend": BACKEND}]}},
            more={"tenants": {"default": {"models": ["*"], "rpm": 1_000, "tpm": 100_000_000}}},
            workers=WORKERS,
        )
        with Stack(tmp_path, setup) as stack:
            asyncio.run(_check(stack, url))


async def _check(stack: Stack, backend_url: str) -> None:
    account, redis_url = Account("frozen"), stack.servers["redis"].url
    async with aiohttp.ClientSession() as session:
        client = Client(session, stack.urls, MODEL)
        for _ in range(REQUESTS):
            assert await client.submit(account, door=0, priority="normal")
        watch = Watch(session, backend_url)
        await watch.until(lambda: watch.open == LIMIT, 10)
        frozen, lost = await _freeze_one(stack, redis_url)
        try:
            await watch.until(lambda: watch.open == LIMIT + lost, LEASE_S + 12)
        finally:
            os.kill(frozen, signal.SIGCONT)
        woken = time.monotonic()
        await watch.until(lambda: watch.open <= LIMIT, 10)
        dropped_s = time.monotonic() - woken
        print(f"{lost} of {LIMIT} were the frozen worker's; dropped {dropped_s:.2f} s after waking")
        assert watch.most <= LIMIT + lost
        assert dropped_s <= 1.0
        await drain(client, account, account.entries, 150)
        assert not await backlog_gone(client, 20)
        assert not await slots_left(redis_url, BACKEND)
        assert not await limits_left(redis_url)
    assert {entry.status for entry in account.entries} == {"completed"}
    assert not stack.died(), stack.logs()


async def _freeze_one(stack: Stack, redis_url: str) -> tuple[int, int]:
    """Stop a worker that has calls open; return its process id and how many slots it holds."""
    for number in range(WORKERS):
        pid = stack.processes[f"worker-{number}"].pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(QUIET_S)
        # The others have renewed theirs since.
        if held := await slots_until(redis_url, BACKEND, LEASE_S - QUIET_S + 0.5):
            return pid, held
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("no worker holds a slot")


class Watch:
    """How many calls are open at the backend."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.open = 0
        self.most = 0

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Look until it holds."""
        until = time.monotonic() + timeout_s
        while True:
            async with self._session.get(f"{self._url}/ledger", params={"summary": ""}) as told:
                summary = await told.json()
            self.open, self.most = summary["open"], summary["high_water"]
            if holds():
                return
            assert time.monotonic() < until, f"{self.open} calls are open"
            await asyncio.sleep(0.02)
