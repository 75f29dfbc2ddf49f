"""The few steps that most suites begin with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from broker.claims import Run
from broker.ports import OutboxEntry
from schemas.envelope import Envelope
from schemas.ids import PARTITIONS, partition_of
from schemas.record import Record
from tests.conformance.stages import Process, QueueProcess
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_slot


async def created(engine: Process, **changes: Any) -> Envelope:
    """Create a record, as a door does before it publishes."""
    envelope = make_envelope(**changes)
    assert await engine.store.create(envelope)
    return envelope


async def accepted(engine: Process, **changes: Any) -> Envelope:
    """Create a record and note that its message is published."""
    envelope = await created(engine, **changes)
    await engine.store.mark_published(envelope.id, envelope.generation)
    return envelope


async def running(engine: Process, **changes: Any) -> Envelope:
    """Create a record and claim it as attempt 1."""
    envelope = await accepted(engine, **changes)
    assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
    return envelope


async def submitted(engine: QueueProcess, **changes: Any) -> Envelope:
    """Create a record and publish its message."""
    envelope = make_envelope(**changes)
    assert await engine.store.create(envelope)
    await engine.queue.publish(envelope)
    await engine.store.mark_published(envelope.id, envelope.generation)
    return envelope


async def record_of(engine: Process, envelope: Envelope) -> Record:
    """Return a record that must be there."""
    record = await engine.store.get(envelope.id)
    assert record is not None
    return record


async def due(engine: Process, envelope: Envelope) -> list[str]:
    """Return the ids that are due in the partition of `envelope`."""
    return [record.id for record in await engine.upkeep.due(partition_of(envelope.id), 100)]


async def outbox(engine: Process) -> list[OutboxEntry]:
    """Return every outbox entry, partition by partition."""
    parts = [await engine.upkeep.outbox(number, 100) for number in range(PARTITIONS)]
    return [entry for part in parts for _, entry in part]


async def eventually(
    holds: Callable[[], Awaitable[bool]], timeout_s: float = 10.0, every_s: float = 0.02
) -> None:
    """Wait until `holds()`."""
    until = time.monotonic() + timeout_s
    while not await holds():
        assert time.monotonic() < until, "it did not come true in time"
        await asyncio.sleep(every_s)
