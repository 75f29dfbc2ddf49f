"""Requests that come in at their own times, however Penstock answers: an open loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from benchmarks.gates.backlog import chat

_CONNECTIONS = 64
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Arrival:
    """A submission `after_s` the load's begin."""

    after_s: float
    model: str
    tenant: str
    priority: str = "normal"
    timeout_s: float = 86_400
    words: int = 1


@dataclass(frozen=True, slots=True)
class Answered:
    """What a submission was answered; `body` is the request object of a 202, else the error."""

    arrival: Arrival
    status: int
    body: dict[str, Any]

    @property
    def id(self) -> str:
        """The id of an accepted one."""
        assert self.status == 202, self.body
        return str(self.body["id"])

    @property
    def accepted_at(self) -> float:
        """When it was accepted, in Unix seconds."""
        return float(self.body["created_at"])


def every(seconds: float, until_s: float, arrival: Arrival) -> list[Arrival]:
    """Return arrivals like this one, `seconds` apart, from `after_s` on."""
    count = int((until_s - arrival.after_s) / seconds)
    return [replace(arrival, after_s=arrival.after_s + number * seconds) for number in range(count)]


def submit(url: str, keys: Mapping[str, str], arrivals: Sequence[Arrival]) -> list[Answered]:
    """Send each at its time; return the answers in the order of `arrivals`."""
    return asyncio.run(_submit(url, keys, arrivals))


async def _submit(url: str, keys: Mapping[str, str], arrivals: Sequence[Arrival]) -> list[Answered]:
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        began = time.monotonic()
        return await asyncio.gather(
            *(_send(session, url, keys[arrival.tenant], began, arrival) for arrival in arrivals)
        )


async def _send(
    session: aiohttp.ClientSession, url: str, key: str, began: float, arrival: Arrival
) -> Answered:
    await asyncio.sleep(max(0.0, began + arrival.after_s - time.monotonic()))
    content = {
        "body": chat(arrival.model, arrival.tenant, arrival.words),
        "priority": arrival.priority,
        "timeout_s": arrival.timeout_s,
    }
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post(f"{url}/v1/requests", json=content, headers=headers) as told:
        return Answered(arrival, told.status, await told.json())
