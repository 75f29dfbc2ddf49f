"""Files past their time go with their bytes, and so does one that its owner deletes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.blobs.dropping import drop_expired, drop_file
from broker.embedded.engine import EmbeddedEngine
from broker.ports import FileSelection
from schemas.errors import BlobsUnavailable
from schemas.files import Part
from tests.fakes.batches import make_file
from tests.integration.embedded import running


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    async with running(tmp_path) as opened:
        yield opened


async def put(engine: EmbeddedEngine, kept_s: float, pieces: int = 1) -> str:
    file = make_file(expires_at=time.time() + kept_s)
    parts = [Part(f"files/{file.id}.{number}", 1) for number in range(pieces)]
    for part in parts:
        await engine.blobs.put(part.key, b"x")
    assert await engine.files.create(file, parts)
    return file.id


async def keys(engine: EmbeddedEngine) -> list[str]:
    return [key async for key in engine.blobs.keys("files/")]


async def test_only_files_past_their_time_are_dropped(engine: EmbeddedEngine) -> None:
    kept = await put(engine, 60)
    for _ in range(3):
        await put(engine, -1, pieces=2)
    assert await drop_expired(engine.files, engine.blobs) == 3
    assert await keys(engine) == [f"files/{kept}.0"]
    assert await drop_expired(engine.files, engine.blobs) == 0
    assert await engine.files.get(kept) is not None


async def test_a_file_is_forgotten_though_its_bytes_cannot_be_deleted(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_keys: object) -> None:
        raise BlobsUnavailable("away")

    file_id = await put(engine, 60)
    monkeypatch.setattr(engine.blobs, "delete", away)
    await drop_file(engine.files, engine.blobs, file_id)
    assert await engine.files.select(FileSelection("acme"), None, 10) == []


async def test_a_file_past_its_time_waits_for_a_place_that_is_away(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trouble() -> str:
        return "away"

    file_id = await put(engine, -1)
    with monkeypatch.context() as away:
        away.setattr(engine.blobs, "health", trouble)
        assert await drop_expired(engine.files, engine.blobs) == 0
    assert await engine.files.expired(10) == [file_id]
    assert await drop_expired(engine.files, engine.blobs) == 1
    assert await keys(engine) == []
