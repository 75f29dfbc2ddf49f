"""Who reads records straight from Redis finds the layout's version there."""

from __future__ import annotations

import asyncio

import pytest

from broker.redis_store import layout
from broker.redis_store.keys import Keys
from broker.redis_store.parts import RedisParts
from tests.integration.redis_stage import new_namespace, open_parts

pytestmark = pytest.mark.realservers


@pytest.mark.parametrize("server", ["redis_url", "redis_cluster"])
async def test_the_version_is_told_and_told_again_where_it_is_lost(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "_TELL_S", 0.02)
    url, keys = request.getfixturevalue(server), Keys(new_namespace())
    namespace = keys.layout.removesuffix(":layout")
    async with open_parts(url, namespace=namespace) as parts:
        await _until_told(parts, keys)
        await parts._batcher.submit(keys.layout, "DEL", keys.layout_version())
        await _until_told(parts, keys)


async def _until_told(parts: RedisParts, keys: Keys) -> None:
    async with asyncio.timeout(10):
        get = ("GET", keys.layout_version())
        while await parts._batcher.submit(keys.layout, *get) != b"1":  # noqa: ASYNC110  because nothing else tells
            await asyncio.sleep(0.01)
