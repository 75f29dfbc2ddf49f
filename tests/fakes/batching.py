"""A batch as a client sees it: its file sent, its end awaited, every line accounted for."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

TERMINAL = ("completed", "failed", "expired", "cancelled")
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 60.0
_AWAY = (aiohttp.ClientError, TimeoutError, OSError)


def write_input(path: Path, lines: int, model: str, body_bytes: int = 100) -> Path:
    """Write a file of chat lines whose custom ids are their numbers; a body has about that size."""
    filler = "x" * max(1, body_bytes - 70)
    with path.open("w") as out:
        for number in range(lines):
            body = {"model": model, "messages": [{"role": "user", "content": filler}]}
            asked = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions"}
            out.write(json.dumps({**asked, "body": body}) + "\n")
    return path


@dataclass
class Account:
    """What the output and the error file of a batch of `lines` lines hold."""

    lines: int
    output: int = 0
    errors: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._seen = bytearray(self.lines)

    def add(self, custom_id: str) -> None:
        """Count a line."""
        if custom_id.isdecimal() and int(custom_id) < self.lines:
            self._seen[int(custom_id)] = min(255, self._seen[int(custom_id)] + 1)
        else:
            self.unknown.append(custom_id)

    @property
    def repeated(self) -> int:
        """How many custom ids are there more than once."""
        return sum(count > 1 for count in self._seen)

    @property
    def missing(self) -> int:
        """How many are nowhere."""
        return self._seen.count(0)


class BatchClient:
    """Talks to any of several doors; one that is away is asked again, or another one is."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str]) -> None:
        self._session = session
        self._urls = urls
        self._turn = 0

    async def upload(self, path: Path) -> str:
        """Send a file, piece by piece; return its id."""
        return str((await self._ask("POST", "/v1/files", form=lambda: _form(path)))["id"])

    async def create(self, file_id: str, **terms: Any) -> dict[str, Any]:
        """Make a batch; asked twice it is the same one."""
        asked = {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            **terms,
        }
        headers = {"Idempotency-Key": f"batch-{file_id}"}
        return await self._ask("POST", "/v1/batches", json=asked, headers=headers)

    async def get(self, batch_id: str) -> dict[str, Any]:
        """Return the batch."""
        return await self._ask("GET", f"/v1/batches/{batch_id}")

    async def cancel(self, batch_id: str) -> dict[str, Any]:
        """Cancel it."""
        return await self._ask("POST", f"/v1/batches/{batch_id}/cancel")

    async def pause(self, batch_id: str) -> dict[str, Any]:
        """Have no further line of it started."""
        return await self._ask("POST", f"/v1/batches/{batch_id}/pause")

    async def resume(self, batch_id: str) -> dict[str, Any]:
        """Let it go on."""
        return await self._ask("POST", f"/v1/batches/{batch_id}/resume")

    async def until(
        self,
        batch_id: str,
        holds: Callable[[dict[str, Any]], bool],
        within_s: float,
    ) -> dict[str, Any]:
        """Return the batch once it is so. Raises AssertionError with the batch as it was last."""
        gives_up_at = time.monotonic() + within_s
        while True:
            batch = await self.get(batch_id)
            if holds(batch):
                return batch
            assert time.monotonic() < gives_up_at, batch
            await asyncio.sleep(_LOOK_EVERY_S)

    async def ended(
        self, batch_id: str, within_s: float, statuses: Collection[str] = TERMINAL
    ) -> dict[str, Any]:
        """Return the batch once it has ended, in one of `statuses`."""
        batch = await self.until(batch_id, lambda each: each["status"] in TERMINAL, within_s)
        assert batch["status"] in statuses, batch
        return batch

    async def account(self, batch: dict[str, Any], lines: int) -> Account:
        """Read both files to their ends."""
        account = Account(lines)
        async for line in self.lines(batch["output_file_id"]):
            assert line["error"] is None, line
            assert line["response"]["status_code"] == 200, line
            account.output += 1
            account.add(line["custom_id"])
        async for line in self.lines(batch["error_file_id"]):
            account.errors += 1
            account.codes[line["error"]["code"]] += 1
            account.add(line["custom_id"])
        return account

    async def lines(self, file_id: str | None) -> AsyncIterator[dict[str, Any]]:
        """Yield the lines of a file; none where there is no file."""
        if file_id is None:
            return
        async with self._session.get(f"{self._urls[0]}/v1/files/{file_id}/content") as answer:
            assert answer.status == 200, await answer.text()
            rest = b""
            async for piece in answer.content.iter_chunked(256 * 1024):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield json.loads(line)
            assert rest == b"", rest[:200]

    async def _ask(
        self,
        method: str,
        path: str,
        form: Callable[[], aiohttp.FormData] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        gives_up_at = time.monotonic() + _PATIENCE_S
        while True:
            url = self._urls[self._turn % len(self._urls)] + path
            try:
                data = form() if form is not None else None
                async with self._session.request(method, url, data=data, **more) as answer:
                    told = await answer.read()
                    if answer.status < 500:
                        assert answer.status < 300, (answer.status, told)
                        found: dict[str, Any] = json.loads(told)
                        return found
                    error: object = (answer.status, told)
            except _AWAY as failure:
                error = failure
            assert time.monotonic() < gives_up_at, error
            self._turn += 1
            await asyncio.sleep(_LOOK_EVERY_S)


@asynccontextmanager
async def batch_client(urls: list[str]) -> AsyncIterator[BatchClient]:
    """Yield a client; a door that does not answer for long is given up."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield BatchClient(session, urls)


def _form(path: Path) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", path.open("rb"), filename=path.name, content_type="application/jsonl")
    return form


def counted(batch: dict[str, Any]) -> Iterator[int]:
    """Yield total, completed and failed."""
    counts = batch["request_counts"]
    yield from (counts["total"], counts["completed"], counts["failed"])
