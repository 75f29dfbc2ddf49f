"""A worker on each engine: adaptive limits, pauses that a backend asks for, what a record tells."""

from __future__ import annotations

from typing import Any

import pytest

from broker.ports import Engine
from schemas.config import Config
from schemas.lifecycle import Status
from tests.conformance.steps import eventually
from tests.fakes.backend import Backend
from tests.integration.test_worker_reload import asking, ended, on, submit, working


def config(models: Any, url: str, **backend: Any) -> Config:
    backends = {"b": {"urls": [url], **backend}}
    return Config.model_validate({"backends": backends, "models": models})


async def test_an_adaptive_backend_is_never_given_more_than_its_most(engine: Engine) -> None:
    models = {"m": on("b", model="slow-20")}
    async with (
        Backend() as fake,
        working(engine, config(models, fake.url, concurrency={"min": 1, "max": 4})),
    ):
        for request_id in [await submit(engine, asking("m", "m")) for _ in range(60)]:
            await ended(engine, request_id)
    assert 2 <= fake.ledger.high_water <= 4


@pytest.mark.parametrize("concurrency", [2, {"min": 1, "max": 2}])
async def test_a_backend_that_asks_for_a_pause_gets_it(engine: Engine, concurrency: object) -> None:
    models = {
        "busy": {**on("b", model="status-429"), "retry": {"max_attempts": 2}},
        "well": on("b", model="echo"),
    }
    async with (
        Backend() as fake,
        working(engine, config(models, fake.url, concurrency=concurrency)),
    ):
        busy = await submit(engine, asking("busy", "busy"))
        await eventually(lambda: _has_failed_once(engine, busy))
        await ended(engine, await submit(engine, asking("well", "well")))
        record = await engine.store.wait(busy, 30)
    assert record is not None
    assert record.status is Status.FAILED
    first, *_ = fake.ledger.calls
    # The backend says `Retry-After: 1`.
    assert first.end is not None
    assert all(call.start >= first.end + 0.95 for call in fake.ledger.calls[1:])
    assert [(each.number, each.outcome, each.status_code) for each in record.history] == [
        (1, "busy", 429),
        (2, "busy", 429),
    ]


async def _has_failed_once(engine: Engine, request_id: str) -> bool:
    record = await engine.store.get(request_id)
    return record is not None and len(record.history) == 1
