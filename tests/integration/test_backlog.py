"""What a door knows of the backlog while a part of it does not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from api import backlog
from api.backlog import Backlog
from api.catalog import Catalog
from schemas.config import Config
from schemas.errors import QueueUnavailable
from tests.conformance.steps import eventually
from tests.integration.embedded import running

CONFIG = Config.model_validate({"tenants": {"acme": {"models": ["*"], "max_queued": 2}}})


async def test_a_queue_without_an_answer_leaves_other_counts_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each counts only what it adds, until everybody is refused."""
    monkeypatch.setattr(backlog, "_REFRESH_S", 0.01)
    async with running(tmp_path) as engine:
        depth = engine.queue.depth

        async def without_leader(model: str, *args: Any) -> int:
            if model == "dead":
                raise QueueUnavailable("no leader")
            return await depth(model, *args)

        monkeypatch.setattr(engine.queue, "depth", without_leader)
        known = Backlog(engine, Catalog(engine, CONFIG), CONFIG)
        for model in ("dead", "m"):
            await known.admit(model, "acme")
        following = asyncio.create_task(known.run())
        try:
            # What was counted has ended: nothing is open.
            async def recounted() -> bool:
                return not known._tenants["acme"].added and not known._models["m"].added

            await eventually(recounted)
            await known.admit("m", "acme")
        finally:
            following.cancel()
        assert known._tenants["acme"].added <= 1
