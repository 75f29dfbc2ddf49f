"""A process's parts on a Redis of the tests, under a namespace that no other test uses."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from broker.ports import Reservation
from broker.redis_store.parts import RedisParts
from schemas.lifecycle import Status
from schemas.result import Result

SLOT = Reservation("gpu-a", "a:1:1")


def new_namespace() -> str:
    return f"test-{secrets.token_hex(4)}"


@asynccontextmanager
async def open_parts(
    url: str, owner: str = "a:1", namespace: str | None = None, retention_s: float = 60
) -> AsyncIterator[RedisParts]:
    parts = RedisParts(url, owner, namespace=namespace or new_namespace(), retention_s=retention_s)
    await parts.start()
    try:
        yield parts
    finally:
        await parts.stop()


def a_result(status: Status = Status.COMPLETED, **changes: Any) -> Result:
    fields: dict[str, Any] = {"status_code": 200, "body": b"{}"} | changes
    return Result(status, time.time(), **fields)


async def until_listening(parts: RedisParts) -> None:
    async with asyncio.timeout(5):
        while not parts._waits.connected:  # noqa: ASYNC110  because nothing else tells
            await asyncio.sleep(0.01)
