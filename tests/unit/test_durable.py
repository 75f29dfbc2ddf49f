"""A request that cannot be made durable is refused, whatever its body's place does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.durable import Durable
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.errors import QueueUnavailable
from tests.fakes.envelopes import make_envelope

LARGE = make_envelope(body=b'{"model": "m"}', model_span=(10, 13)).apart("until/1/x")


async def test_a_place_of_blobs_that_hangs_holds_up_no_refusal() -> None:
    asked = asyncio.Event()

    async def yes(*_: Any) -> bool:
        return True

    async def refuse(*_: Any) -> None:
        raise QueueUnavailable("away")

    async def hang(*_: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    engine = SimpleNamespace(
        store=SimpleNamespace(create=yes, take_back=yes),
        queue=SimpleNamespace(publish=refuse),
        blobs=SimpleNamespace(delete=hang),
    )
    tasks = Tasks("test")
    durable = Durable(cast("Engine", engine), tasks)
    with pytest.raises(QueueUnavailable):
        async with asyncio.timeout(10):
            await durable.make(LARGE)
    async with asyncio.timeout(10):
        await asked.wait()
    await tasks.stop()
