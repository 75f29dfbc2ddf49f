"""Every engine the suites run against: one class each, and one entry in STAGES.

A stage is one set of real parts; `open` starts a process of Penstock on it. A stage that allows
only one process at a time says so, and the tests that need two do not run there.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from broker.blobs.directory import DirectoryBlobs
from broker.embedded import parking, work_queue
from broker.embedded.engine import EmbeddedEngine
from broker.ports import (
    DeadLetters,
    Events,
    Limits,
    Members,
    Queue,
    Store,
    Switches,
    Upkeep,
    Webhooks,
)
from broker.real import RealEngine
from broker.redis_store.parts import RedisParts
from tests.integration.amqp import remove


class Process(Protocol):
    """What the suites need of one process: an engine, or its half without a queue."""

    @property
    def owner(self) -> str: ...
    @property
    def store(self) -> Store: ...
    @property
    def upkeep(self) -> Upkeep: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def events(self) -> Events: ...
    @property
    def members(self) -> Members: ...
    @property
    def switches(self) -> Switches: ...
    @property
    def webhooks(self) -> Webhooks: ...


class QueueProcess(Process, Protocol):
    """A process with a queue as well."""

    @property
    def queue(self) -> Queue: ...


class Stage(Protocol):
    """Real parts for one test. `messages_apart`: a message can exist without its record."""

    messages_apart: bool

    def open(self, retention_s: float = 60) -> AbstractAsyncContextManager[Process]:
        """Run one process."""


class QueueStage(Protocol):
    """Real parts with a queue."""

    def open(self, retention_s: float = 60) -> AbstractAsyncContextManager[QueueProcess]:
        """Run one process."""

    async def close(self) -> None:
        """Leave nothing behind."""


class EmbeddedStage:
    """One process per data directory, by its lock."""

    messages_apart = False

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._directory: Path = request.getfixturevalue("tmp_path") / "data"
        # Every wake-up must come by itself: the look-around is for what was missed.
        monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setattr(work_queue, "_LOOK_EVERY_S", 3_600)
        monkeypatch.setattr(parking, "_LONGEST_SLEEP_S", 3_600)

    @asynccontextmanager
    async def open(self, retention_s: float = 60) -> AsyncIterator[EmbeddedEngine]:
        """Run the engine; a broken store fails the test instead of ending the process."""
        broken: list[str] = []
        engine = EmbeddedEngine(self._directory, retention_s, on_broken=broken.append)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()
        assert not broken

    async def close(self) -> None:
        """The directory is pytest's to remove."""


@dataclass(frozen=True)
class _RedisProcess:
    owner: str
    store: Store
    upkeep: Upkeep
    dead_letters: DeadLetters
    limits: Limits
    events: Events
    members: Members
    switches: Switches
    webhooks: Webhooks


class RedisStage:
    """All but the queue, on one Redis or on a Redis Cluster."""

    messages_apart = True
    url_fixture = "redis_url"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._url: str = request.getfixturevalue(self.url_fixture)
        self._namespace = f"conf-{secrets.token_hex(4)}"

    @asynccontextmanager
    async def open(self, retention_s: float = 60) -> AsyncIterator[Process]:
        """Run one process; all of a test share a namespace."""
        owner = f"{secrets.token_hex(4)}:1"
        parts = RedisParts(self._url, owner, namespace=self._namespace, retention_s=retention_s)
        await parts.start()
        try:
            yield _RedisProcess(
                owner,
                parts.store,
                parts.upkeep,
                parts.dead_letters,
                parts.limits,
                parts.events,
                parts.members,
                parts.switches,
                parts.webhooks,
            )
        finally:
            await parts.stop()


class ClusterStage(RedisStage):
    """Three masters: a script that touches two slots fails here."""

    url_fixture = "redis_cluster"


class RealStage:
    """RabbitMQ and Redis."""

    messages_apart = True

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._directory: Path = request.getfixturevalue("tmp_path") / "blobs"
        self._amqp_url: str = request.getfixturevalue("amqp_url")
        self._redis_url: str = request.getfixturevalue("redis_url")
        self._namespace = f"conf-{secrets.token_hex(4)}"

    @asynccontextmanager
    async def open(self, retention_s: float = 60) -> AsyncIterator[RealEngine]:
        """Run one process."""
        engine = RealEngine(
            self._amqp_url,
            self._redis_url,
            namespace=self._namespace,
            retention_s=retention_s,
            blobs=DirectoryBlobs(self._directory),
        )
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()

    async def close(self) -> None:
        """Remove what the processes declared."""
        await remove(self._amqp_url, self._namespace)


_real = pytest.mark.realservers
EMBEDDED = pytest.param(EmbeddedStage, id="embedded")
REDIS = pytest.param(RedisStage, id="redis", marks=_real)
CLUSTER = pytest.param(ClusterStage, id="redis-cluster", marks=_real)
REAL = pytest.param(RealStage, id="real", marks=_real)

STAGES = [EMBEDDED, REDIS, CLUSTER]
# The embedded engine is missing here because one process holds its data directory.
STAGES_FOR_TWO = [REDIS, CLUSTER]
QUEUE_STAGES = [EMBEDDED, REAL]

two_processes = pytest.mark.parametrize("stage", STAGES_FOR_TWO, indirect=True)
