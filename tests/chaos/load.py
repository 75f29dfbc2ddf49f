"""The load of a round: submitters that keep a backlog, held calls, readers, then the drain."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from tests.chaos.account import Account, Entry
from tests.chaos.client import Client

PRIORITIES = ("high", "normal", "low", "batch")
WEIGHTS = (2, 4, 2, 1)
SUBMITTERS = 12
READERS = 3
HELD_AT_ONCE = 30
FINAL_READERS = 16


@dataclass(frozen=True, slots=True)
class Load:
    """How much: `accepted` 202s in all, about `backlog` of them in flight at any time."""

    accepted: int
    backlog: int
    held_share: float
    # Nobody to accept them for this long ends the round: the product is down for good.
    patience_s: float = 90.0


async def submit_all(
    client: Client, account: Account, load: Load, draw: random.Random, killed: asyncio.Event
) -> None:
    """Submit until enough are accepted and all is `killed`; ends with the last held call."""
    held: set[asyncio.Task[None]] = set()
    last_accepted = time.monotonic()

    async def submitter() -> None:
        nonlocal last_accepted
        while len(account.accepted_ids) < load.accepted or not killed.is_set():
            if time.monotonic() - last_accepted > load.patience_s:
                account.odd.append(f"nothing accepted for {load.patience_s:.0f} s")
                return
            if account.in_flight >= load.backlog:
                last_accepted = time.monotonic()
                await asyncio.sleep(0.05)
                continue
            door = draw.randrange(len(client.urls))
            priority = draw.choices(PRIORITIES, WEIGHTS)[0]
            if draw.random() < load.held_share and len(held) < HELD_AT_ONCE:
                task = asyncio.create_task(client.hold(account, door=door, priority=priority))
                held.add(task)
                task.add_done_callback(held.discard)
            elif await client.submit(account, door=door, priority=priority):
                last_accepted = time.monotonic()
            else:
                await asyncio.sleep(draw.uniform(0.05, 0.3))

    await asyncio.gather(*(submitter() for _ in range(SUBMITTERS)))
    await asyncio.gather(*held)


async def read_in_chaos(client: Client, account: Account, draw: random.Random) -> None:
    """Read random accepted requests, ended ones again and again, until cancelled."""

    async def reader() -> None:
        while True:
            known = [entry for entry in account.entries[-600:] if entry.accepted]
            if known:
                await client.read(account, draw.choice(known))
            await asyncio.sleep(0.03)

    await asyncio.gather(*(reader() for _ in range(READERS)))


async def follow_backend(session: aiohttp.ClientSession, url: str, account: Account) -> None:
    """Keep the account's answered ids up to date from the backend's ledger, until cancelled."""
    seen = 0
    while True:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{url}/ledger", params={"answered_from": str(seen)}) as told:
                answered = (await told.json())["answered"]
            seen += len(answered)
            account.answer(answered)
        await asyncio.sleep(0.1)


async def drain(client: Client, account: Account, entries: list[Entry], bound_s: float) -> None:
    """Read until each of `entries` is terminal or `bound_s` is up, then once more."""
    until = time.monotonic() + bound_s
    pending = [entry for entry in entries if not entry.terminal]
    while pending and time.monotonic() < until:
        await _read_all(client, account, pending, wait_s=2)
        # 404 is an answer too: it will not come back, and the verdict names it.
        pending = [entry for entry in pending if not entry.terminal and not entry.missing]
    await _read_all(client, account, [entry for entry in entries if entry.reads < 3], wait_s=0)


async def backlog_gone(client: Client, bound_s: float) -> list[str]:
    """Wait until every door tells of nothing waiting or running; return what it told last."""
    until = time.monotonic() + bound_s
    told: list[str] = []
    while True:
        told = [await _unrest(client, door) for door in range(len(client.urls))]
        told = [words for words in told if words]
        if not told or time.monotonic() > until:
            return told
        await asyncio.sleep(0.3)


async def _unrest(client: Client, door: int) -> str:
    try:
        item = await client.models(door)
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"door {door}: {error!r}"
    if not item:
        return f"door {door}: the model is not listed"
    busy = item["waiting"] or item["running"]
    return f"door {door}: {item}" if busy else ""


async def _read_all(client: Client, account: Account, entries: list[Entry], wait_s: int) -> None:
    queue = iter(entries)

    async def reader() -> None:
        for entry in queue:
            await client.read(account, entry, wait_s)

    await asyncio.gather(*(reader() for _ in range(FINAL_READERS)))
