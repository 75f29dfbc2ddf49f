"""Readers of streams that are cut off and go on by number at another door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_TERMINAL = ("request.completed", "request.failed", "request.cancelled", "request.expired")
_AGAIN_S = 0.2


@dataclass
class Told:
    """What one reader was told of a request."""

    request_id: str
    restart: bool
    last: int = -1
    # By number: the chunks since the stream last began anew, and how often it did.
    chunks: dict[int, str] = field(default_factory=dict)
    restarted: int = 0
    resumed: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: str | None = None

    @property
    def calls(self) -> set[str]:
        """The backend's calls that the chunks come from."""
        parsed = (json.loads(data) for data in self.chunks.values() if data.startswith("{"))
        return {each["system_fingerprint"] for each in parsed}

    @property
    def body(self) -> str:
        """The chunks as the backend has sent them."""
        return "".join(f"data: {data}\n\n" for data in self.chunks.values())

    def take(self, fields: dict[str, str]) -> None:
        """Note one event. Fails on a number that repeats or goes back."""
        name = fields.get("event")
        if name in _TERMINAL or name == "error":
            self.ended = name
        elif "id" in fields:
            number = int(fields["id"])
            assert number > self.last, (self.request_id, self.last, fields)
            if name == "request.restarted":
                self.chunks, self.restarted = {}, self.restarted + 1
            else:
                assert number == self.last + 1 or not self.chunks, (self.last, fields)
                self.chunks[number] = fields["data"]
                self.begun.set()
            self.last = number


async def read_on(
    session: aiohttp.ClientSession, told: Told, urls: Sequence[str], door: int
) -> None:
    """Read `told` to its end, going on behind the last number at the next door whenever cut off."""
    while told.ended is None:
        query = {} if told.last < 0 else {"starting_after": str(told.last)}
        url = f"{urls[door % len(urls)]}/v1/requests/{told.request_id}/events"
        try:
            async with session.get(url, params=query) as response:
                if response.status == 200:
                    async for fields in events(response):
                        told.take(fields)
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        if told.ended is None:
            told.resumed += 1
            door += 1
            await asyncio.sleep(_AGAIN_S)


async def held(session: aiohttp.ClientSession, url: str, body: dict[str, Any], told: Told) -> None:
    """Read a held call until it ends or is cut off."""
    headers = {"x-penstock-on-disconnect": "finish"}
    try:
        async with session.post(
            f"{url}/v1/chat/completions", json={**body, "stream": True}, headers=headers
        ) as response:
            assert response.status == 200, await response.text()
            told.request_id = response.headers["x-request-id"]
            async for fields in events(response):
                if "id" in fields:
                    told.take(fields)
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Yield the fields of each event; one that was cut off is dropped, and so are comments."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and fields:
            yield fields
            fields = {}
