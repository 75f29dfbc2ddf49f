"""A delivery whose large body lies in a blob: fetched before its claim, or not claimed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from broker.claims import Late, Run
from broker.scheduling.retry import Failure
from schemas.errors import BlobMissing, BlobsUnavailable
from tests.fakes.envelopes import make_envelope
from tests.unit.test_executor import Stage
from workers import executor
from workers.backends.port import CallFailed


class _Place:
    """Blobs of which every reading ends so."""

    def __init__(self, outcome: bytes | Exception) -> None:
        self.outcome = outcome
        self.read_keys: list[str] = []

    async def read(self, key: str) -> AsyncIterator[bytes]:
        self.read_keys.append(key)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        yield self.outcome


LARGE = make_envelope(body=b'{"model": "m"}', model_span=(10, 13)).apart("until/1/x")


async def test_a_large_body_is_fetched_for_its_call_and_kept_by_nobody() -> None:
    stage = Stage(Run(1, 0), answers=[CallFailed(Failure.TIMED_OUT, "no")])
    stage.blobs.read = _Place(b'{"model": "m"}').read
    await stage.run(LARGE)
    assert [call.body for _, call in stage.calls] == [b'{"model": "their-name"}']
    assert stage.published == [LARGE.next_generation(stage.published[0].not_before or 0)]


@pytest.mark.parametrize(
    ("outcome", "steps"),
    [
        (BlobsUnavailable("away"), ["free", "publish generation 0 in 5 s", "ack"]),
        (BlobMissing("gone"), ["free", "finish body_lost", "ack"]),
        (b"cut", ["free", "finish body_lost", "ack"]),
    ],
)
async def test_without_its_body_a_request_is_not_claimed(
    outcome: bytes | Exception, steps: list[str]
) -> None:
    stage = Stage(Run(1, 0))
    stage.blobs.read = _Place(outcome).read
    await stage.run(LARGE)
    assert (stage.steps, len(stage.claims), stage.calls) == (steps, 1, [])


async def test_a_place_that_hangs_does_not_keep_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_key: str) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    monkeypatch.setattr(executor, "_BODY_S", 0.01)
    stage = Stage(Run(1, 0))
    stage.blobs.read = hang
    async with asyncio.timeout(30):
        await stage.run(LARGE)
    assert stage.steps == ["free", "publish generation 0 in 5 s", "ack"]


async def test_a_late_request_s_body_is_left_alone() -> None:
    stage = Stage(Late(1))
    place = _Place(BlobsUnavailable("away"))
    stage.blobs.read = place.read
    await stage.run(replace(LARGE, deadline=time.time() - 1))
    assert stage.steps == ["free", "finish expired", "ack"]
    assert place.read_keys == []
