"""One process of each engine for every test of a suite; a second one where the engine allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.stages import (
    QUEUE_STAGES,
    STAGES,
    Process,
    QueueProcess,
    QueueStage,
    Stage,
)


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    """The real parts of this test."""
    made: Stage = request.param(request)
    return made


@pytest.fixture
async def engine(stage: Stage) -> AsyncIterator[Process]:
    """A process on them."""
    async with stage.open() as process:
        yield process


@pytest.fixture
async def other(stage: Stage) -> AsyncIterator[Process]:
    """A second process on the same parts; only with the mark `two_processes`."""
    async with stage.open() as process:
        yield process


@pytest.fixture(params=QUEUE_STAGES)
async def queue_stage(request: pytest.FixtureRequest) -> AsyncIterator[QueueStage]:
    """The real parts of a test of the queue."""
    made: QueueStage = request.param(request)
    yield made
    await made.close()


@pytest.fixture
async def queue_engine(queue_stage: QueueStage) -> AsyncIterator[QueueProcess]:
    """A process on them."""
    async with queue_stage.open() as process:
        yield process
