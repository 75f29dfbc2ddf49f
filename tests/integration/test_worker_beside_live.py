"""Batch requests that never end leave slots of their backend to live ones, once there are some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from broker.ports import Engine
from schemas.body import read_object
from schemas.config import Config
from schemas.lifecycle import Status
from schemas.priority import Priority
from tests.fakes.backend import Backend
from tests.fakes.envelopes import make_envelope
from workers.service import WorkerService

ENDLESS, QUICK = "slow-600000", "echo"
SLOTS, BATCH_SLOTS = 4, 3


@asynccontextmanager
async def working(engine: Engine, concurrency: Any) -> AsyncIterator[None]:
    async with Backend(models=(ENDLESS, QUICK)) as backend:
        backends = {"b": {"urls": [backend.url], "concurrency": concurrency}}
        worker = WorkerService(engine, Config.model_validate({"backends": backends}))
        await worker.start()
        try:
            yield
        finally:
            await worker.stop()


async def submit(engine: Engine, model: str, priority: Priority) -> str:
    body = b'{"model": "%s", "messages": []}' % model.encode()
    envelope = make_envelope(
        model=model,
        body=body,
        model_span=read_object(body).spans["model"],
        endpoint="/v1/chat/completions",
        priority=priority,
    )
    await engine.store.create(envelope)
    await engine.queue.publish(envelope)
    return envelope.id


async def answered(engine: Engine, priority: Priority = Priority.NORMAL) -> bool:
    """Send a live request, and tell whether it is answered while batch requests go on."""
    record = await engine.store.wait(await submit(engine, QUICK, priority), 30)
    return record is not None and record.status is Status.COMPLETED


async def until_held(engine: Engine, count: int) -> None:
    async with asyncio.timeout(30):
        while await engine.limits.held("b") != count:  # noqa: ASYNC110  because nothing tells
            await asyncio.sleep(0.02)


async def test_live_requests_find_a_free_slot_beside_a_flood_of_batch(engine: Engine) -> None:
    async with working(engine, SLOTS):
        assert await answered(engine)
        for _ in range(3 * SLOTS):
            await submit(engine, ENDLESS, Priority.BATCH)
        await until_held(engine, BATCH_SLOTS)
        for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
            assert await answered(engine, priority)
        await until_held(engine, BATCH_SLOTS)


async def test_batch_has_every_slot_where_nobody_else_asks(engine: Engine) -> None:
    async with working(engine, SLOTS):
        for _ in range(3 * SLOTS):
            await submit(engine, ENDLESS, Priority.BATCH)
        await until_held(engine, SLOTS)


async def test_it_leaves_a_part_of_what_is_found_out(engine: Engine) -> None:
    async with working(engine, {"min": SLOTS, "max": 64}):
        assert await answered(engine)
        for _ in range(3 * SLOTS):
            await submit(engine, ENDLESS, Priority.BATCH)
        await until_held(engine, BATCH_SLOTS)
        assert await answered(engine)
