"""Every engine the suites run against: one class each, and one entry in STAGES.

A stage is one set of real parts; `open` starts a process of Penstock on it. A stage that allows
only one process at a time says so, and the tests that need two do not run there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis.asyncio as redis

from broker.blobs.directory import DirectoryBlobs
from broker.embedded import parking, work_queue
from broker.embedded.engine import EmbeddedEngine
from broker.ports import (
    Batches,
    DeadLetters,
    Events,
    Files,
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
from tests.conformance.ageing import age_leases
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
    @property
    def files(self) -> Files: ...
    @property
    def batches(self) -> Batches: ...


class QueueProcess(Process, Protocol):
    """A process with a queue as well."""

    @property
    def queue(self) -> Queue: ...


class Stage(Protocol):
    """Real parts for one test. `messages_apart`: a message can exist without its record."""

    messages_apart: bool

    def open(self, retention_s: float = 60) -> AbstractAsyncContextManager[Process]:
        """Run one process."""

    async def let_pass(self, seconds: float) -> None:
        """Let the leases and retentions of batches be so much older."""


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
        self._passed_s = 0.0
        # Every wake-up must come by itself: the look-around is for what was missed.
        monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setattr(work_queue, "_LOOK_EVERY_S", 3_600)
        monkeypatch.setattr(parking, "_LONGEST_SLEEP_S", 3_600)

    @asynccontextmanager
    async def open(self, retention_s: float = 60) -> AsyncIterator[EmbeddedEngine]:
        """Run the engine; a broken store fails the test instead of ending the process."""
        broken: list[str] = []
        engine = EmbeddedEngine(
            self._directory, retention_s, clock=self._clock, on_broken=broken.append
        )
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()
        assert not broken

    async def let_pass(self, seconds: float) -> None:
        """Set the engine's clock forward."""
        self._passed_s += seconds

    async def close(self) -> None:
        """The directory is pytest's to remove."""

    def _clock(self) -> float:
        return time.time() + self._passed_s


class _RedisProcess:
    def __init__(self, owner: str, parts: RedisParts) -> None:
        self.owner = owner
        self._parts = parts
        self.store: Store = parts.store
        self.upkeep: Upkeep = parts.upkeep
        self.dead_letters: DeadLetters = parts.dead_letters
        self.limits: Limits = parts.limits
        self.events: Events = parts.events
        self.members: Members = parts.members
        self.switches: Switches = parts.switches
        self.webhooks: Webhooks = parts.webhooks

    @property
    def files(self) -> Files:
        return self._parts.files

    @property
    def batches(self) -> Batches:
        return self._parts.batches


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
            yield _RedisProcess(owner, parts)
        finally:
            await parts.stop()

    async def let_pass(self, seconds: float) -> None:
        """Shorten what every key has still to live."""
        async with self._client() as client:
            await age_leases(client, self._namespace, seconds)

    def _client(self) -> Any:
        return redis.Redis.from_url(self._url)


class ClusterStage(RedisStage):
    """Three masters: a script that touches two slots fails here."""

    url_fixture = "redis_cluster"

    def _client(self) -> Any:
        return redis.RedisCluster.from_url(self._url)


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
            new_queue_s=0.0,  # nobody kills RabbitMQ here
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
