"""What the tests of the embedded engine share: an engine, and a look into its file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw

from broker.embedded.engine import EmbeddedEngine


@asynccontextmanager
async def running(directory: Path, **options: Any) -> AsyncIterator[EmbeddedEngine]:
    """A started engine; a broken store does not end the test's process."""
    engine = EmbeddedEngine(directory, 60, **{"on_broken": lambda _: None} | options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def rows(engine: EmbeddedEngine, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in the file."""

    def run(file: apsw.Connection) -> list[tuple[Any, ...]]:
        return list(file.execute(query))

    return await engine._database.read(run)
