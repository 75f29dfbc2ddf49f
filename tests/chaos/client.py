"""The driver's side of the wire: submits, held calls and reads that survive what is killed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from tests.chaos.account import Account, Entry
from tests.fakes.answers import nonce_in

SUBMIT_S = 12.0
HELD_S = 100.0
READ_S = 5.0
_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)


class Client:
    """One driver's client over all doors of a stack."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str], model: str) -> None:
        self.session = session
        self.urls = urls
        self.model = model

    def body(self, tag: str) -> dict[str, Any]:
        """Return a chat body that carries `tag` to the backend's ledger."""
        messages = [{"role": "user", "content": f"say {tag}"}]
        return {"model": self.model, "messages": messages, "user": tag}

    async def submit(self, account: Account, *, door: int, priority: str) -> bool:
        """POST /v1/requests once; False when it was not accepted."""
        entry = account.new(held=False, door=door, priority=priority, sent=time.time())
        asked = {"body": self.body(entry.tag), "priority": priority}
        url = f"{self.urls[door]}/v1/requests"
        try:
            async with self.session.post(url, json=asked, timeout=_limit(SUBMIT_S)) as answer:
                told = await answer.json()
                if answer.status == 202:
                    account.accept(entry, told["id"])
                    return True
                _refused(account, entry, answer.status, told)
        except _LOST:
            entry.dropped = True
        return False

    async def hold(self, account: Account, *, door: int, priority: str) -> None:
        """POST /v1/chat/completions once and hold the connection."""
        entry = account.new(held=True, door=door, priority=priority, sent=time.time())
        url = f"{self.urls[door]}/v1/chat/completions"
        headers = {"x-penstock-priority": priority}
        try:
            async with self.session.post(
                url, json=self.body(entry.tag), headers=headers, timeout=_limit(HELD_S)
            ) as answer:
                told = await answer.json()
                if answer.status == 200:
                    entry.told_nonce = nonce_in(told)
                    account.accept(entry, answer.headers["x-request-id"])
                    return
                _refused(account, entry, answer.status, told)
        except _LOST:
            entry.dropped = True

    async def read(self, account: Account, entry: Entry, wait_s: int = 0) -> None:
        """GET the request object once, at any door, and note what it says."""
        door = (entry.door + 1 + entry.reads) % len(self.urls)
        url = f"{self.urls[door]}/v1/requests/{entry.id}"
        query = {"wait": str(wait_s)} if wait_s else {}
        try:
            async with self.session.get(
                url, params=query, timeout=_limit(READ_S + wait_s)
            ) as answer:
                if answer.status == 200:
                    entry.read(await answer.json())
                elif answer.status == 404:
                    entry.missing += 1
                else:
                    account.unread += 1
        except _LOST:
            account.unread += 1
            await asyncio.sleep(0.2)

    async def models(self, door: int) -> dict[str, Any]:
        """Return the `penstock` part of our model's item in GET /v1/models."""
        url = f"{self.urls[door]}/v1/models"
        async with self.session.get(url, timeout=_limit(READ_S)) as answer:
            listed = await answer.json()
        items = [item for item in listed["data"] if item["id"] == self.model]
        return dict(items[0]["penstock"]) if items else {}


def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


def _refused(account: Account, entry: Entry, status: int, told: dict[str, Any]) -> None:
    code = (told.get("error") or {}).get("code")
    entry.refusal = str(code)
    if status != 503 or not code:
        account.odd.append(f"{'held' if entry.held else 'submit'} answered {status} {told}")
