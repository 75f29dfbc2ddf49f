"""A batch of messages is there whole, or nothing of it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.admission import Admission
from api.anthropic.creating import MessageBatches
from api.auth import Caller
from api.backlog import Backlog
from api.batches.creating import Creating
from api.catalog import Catalog
from api.exchange import ClientGone, Exchange
from api.files.storing import Storing
from api.files.uploading import Uploads
from api.responses.preparing import Preparing
from api.settings import Settings
from broker.embedded.engine import EmbeddedEngine
from broker.lifecycle import Tasks
from broker.ports import FileSelection
from schemas.batches import Batch, BatchStatus
from schemas.config import Config
from schemas.errors import EngineError, RequestError, StoreUnavailable

BODY = json.dumps(
    {"requests": [{"custom_id": f"r-{n}", "params": {"model": "m"}} for n in range(3)]}
).encode()
CALLER = Caller("acme")
BACKEND = {"urls": ["http://127.0.0.1:9/v1"]}


def exchange(*pieces: bytes, whole: bool = True) -> Exchange:
    """Return an exchange whose body comes in these pieces; its client leaves if it is not whole."""
    last = len(pieces) - 1
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": not whole or at < last}
        for at, piece in enumerate(pieces)
    ]
    messages.append({"type": "http.disconnect"})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    headers = [(b"content-type", b"application/json"), (b"host", b"a")]
    return Exchange({"type": "http", "headers": headers}, receive, CALLER)


@dataclass
class Door:
    engine: EmbeddedEngine
    taking: MessageBatches

    async def kept(self) -> tuple[list[str], list[Batch]]:
        """Return every blob there is, and every batch."""
        blobs = [key async for key in self.engine.blobs.keys("")]
        assert len(blobs) == len(
            await self.engine.files.select(FileSelection("acme"), None, 9) or ()
        )
        return blobs, await self.engine.batches.select("acme", None, 9, "anthropic") or []


@asynccontextmanager
async def door(directory: Path) -> AsyncIterator[Door]:
    config = Config.model_validate(
        {
            "server": {"data_dir": str(directory)},
            "backends": {"b": BACKEND},
            "models": {"m": {"targets": [{"backend": "b"}]}},
        }
    )
    engine, tasks = EmbeddedEngine(directory, retention_s=60), Tasks("test")
    settings, catalog = Settings(config), Catalog(engine, config)
    backlog, preparing = Backlog(engine, catalog, config), Preparing(engine, catalog, settings)
    creating = Creating(
        engine, Admission(engine, catalog, backlog, preparing, config.server), settings
    )
    storing = Storing(engine)
    uploads = Uploads(engine, settings, storing)
    taking = MessageBatches(
        engine, creating, uploads, storing, catalog, settings=settings, tasks=tasks
    )
    await engine.start()
    try:
        yield Door(engine, taking)
    finally:
        await tasks.join()
        await engine.stop()


async def test_it_is_noted_with_its_requests(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        batch, replayed = await opened.taking.take(exchange(BODY[:20], BODY[20:]))
        blobs, batches = await opened.kept()
        assert (batches, replayed) == ([batch], False)
        assert (batch.total, batch.status) == (3, BatchStatus.VALIDATING)
        assert batch.terms.include_cancelled
        file = await opened.engine.files.get(batch.terms.input_file_id)
        assert file is not None
        assert file.expires_at > batch.terms.deadline
        lines = b"".join([piece async for piece in opened.engine.blobs.read(blobs[0])])
        assert [json.loads(line)["custom_id"] for line in lines.splitlines()] == [
            "r-0",
            "r-1",
            "r-2",
        ]


@pytest.mark.parametrize("at", [0, 30, len(BODY) - 1])
async def test_nothing_stays_of_one_whose_client_leaves(at: int, tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        with pytest.raises(ClientGone):
            await opened.taking.take(exchange(BODY[:at], whole=False))
        assert await opened.kept() == ([], [])


async def test_nothing_stays_of_one_that_is_wrong_at_its_end(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        with pytest.raises(RequestError):
            await opened.taking.take(exchange(BODY, b"x"))
        assert await opened.kept() == ([], [])


async def test_one_that_may_have_been_noted_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door(tmp_path) as opened:
        batches = opened.engine.batches
        create, taken_back = batches.create, asyncio.Event()
        drop = opened.taking._storing.drop

        async def lost(batch: Batch) -> bool:
            await create(batch)
            raise StoreUnavailable("its answer is lost")

        async def dropped(file_id: str) -> None:
            await drop(file_id)
            taken_back.set()

        monkeypatch.setattr(batches, "create", lost)
        monkeypatch.setattr(opened.taking._storing, "drop", dropped)
        with pytest.raises(EngineError):
            await opened.taking.take(exchange(BODY))
        await asyncio.wait_for(taken_back.wait(), 10)
        blobs, known = await opened.kept()
        assert blobs == []
        assert [batch.status for batch in known] == [BatchStatus.CANCELLING]
