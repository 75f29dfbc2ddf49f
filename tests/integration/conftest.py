"""The parts of an engine that tests are run on: embedded, then RabbitMQ and Redis."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker.engine import open_engine
from broker.ports import Engine
from schemas.config import Config


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.realservers)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where the parts of an engine are, as a section of the configuration."""
    if request.param == "embedded":
        return {"data_dir": str(tmp_path)}
    return {
        "data_dir": str(tmp_path),
        "amqp_url": request.getfixturevalue("amqp_url"),
        "redis_url": request.getfixturevalue("redis_url"),
        "namespace": f"t{secrets.token_hex(4)}",
    }


@pytest.fixture
async def engine(server: dict[str, Any]) -> AsyncIterator[Engine]:
    """An engine on them."""
    engine = open_engine(Config.model_validate({"server": server}))
    await engine.start()
    yield engine
    await engine.stop()
