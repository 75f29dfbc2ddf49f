"""Who holds a request: joins of repeated calls, hand-overs, cancels of one holder (PROTOCOL 5)."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from schemas.record import Record
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

OLD, NEW = "api-old:1", "api-new:1"


async def test_a_repeated_call_joins_the_open_one_and_holds_it(engine: Process) -> None:
    envelope = await _held(engine)
    record = await _join(engine, envelope)
    assert record is not None
    assert (record.id, record.held_by) == (envelope.id, NEW)
    assert record == await record_of(engine, envelope)
    assert await _join(engine, envelope) == record, "it may be repeated"


async def test_a_running_request_is_joined_too(engine: Process) -> None:
    envelope = await _held(engine)
    await engine.store.claim(envelope, make_slot())
    record = await _join(engine, envelope)
    assert record is not None
    assert record.status is Status.IN_PROGRESS


async def test_the_newest_of_equal_calls_is_joined(engine: Process) -> None:
    body_hash = secrets.token_bytes(32)
    at = make_envelope().accepted_at
    made = [await _held(engine, body_hash, accepted_at=at + n * 0.1) for n in (1, 3, 2)]
    for number in (1, 2, 0):
        record = await _join(engine, made[number])
        assert record is not None
        assert record.id == made[number].id
        await engine.store.cancel(made[number].id)
    assert await _join(engine, made[0]) is None


async def test_another_tenant_or_body_joins_nothing(engine: Process) -> None:
    envelope = await _held(engine)
    assert await engine.store.join("another", envelope.body_hash, NEW) is None
    assert await engine.store.join(envelope.tenant, b"\xff" * 32, NEW) is None
    assert (await record_of(engine, envelope)).held_by == OLD


async def test_what_nobody_holds_is_not_joined(engine: Process) -> None:
    envelope = await _held(engine, held_by=None)
    assert await _join(engine, envelope) is None


async def test_an_ended_request_is_not_joined(engine: Process) -> None:
    envelope = await _held(engine)
    await engine.store.claim(envelope, make_slot())
    await engine.store.finish(envelope, make_result(), 1)
    assert await _join(engine, envelope) is None
    refused = await _held(engine)
    assert await engine.store.take_back(refused)
    assert await _join(engine, refused) is None


async def test_what_waits_again_can_be_joined(engine: Process) -> None:
    envelope = await _held(engine)
    await engine.store.claim(envelope, make_slot())
    assert await engine.store.requeue(envelope.next_generation(envelope.deadline - 1), 1)
    assert await _join(engine, envelope) is not None


async def test_a_rebuilt_request_can_be_joined(engine: Process) -> None:
    envelope = _calling()
    await engine.store.claim(envelope, make_slot())
    record = await _join(engine, envelope)
    assert record is not None
    assert record.held_by == NEW


async def test_a_join_and_an_end_at_once_agree(engine: Process) -> None:
    for _ in range(20):
        envelope = await _held(engine)
        record, _ = await asyncio.gather(
            _join(engine, envelope), engine.store.cancel(envelope.id, OLD)
        )
        stored = await record_of(engine, envelope)
        # Whoever came first has won, and the other one knows.
        assert stored.status is (Status.QUEUED if record else Status.CANCELLED)


async def test_a_stale_holder_cancels_nothing(engine: Process) -> None:
    envelope = await _held(engine)
    await engine.store.hold(envelope.id, NEW)
    record = await engine.store.cancel(envelope.id, OLD)
    assert record is not None
    assert (record.status, record.held_by) == (Status.QUEUED, NEW)
    record = await engine.store.cancel(envelope.id, NEW)
    assert record is not None
    assert record.status is Status.CANCELLED


async def test_a_client_cancels_whoever_holds_it(engine: Process) -> None:
    envelope = await _held(engine)
    record = await engine.store.cancel(envelope.id)
    assert record is not None
    assert record.status is Status.CANCELLED


async def test_what_was_told_202_stays_without_a_holder(engine: Process) -> None:
    envelope = await accepted(engine)
    record = await engine.store.hold(envelope.id, NEW)
    assert record is not None
    assert record.held_by is None
    again = await engine.store.cancel(envelope.id, NEW)
    assert again is not None
    assert again.status is Status.QUEUED


async def test_nothing_holds_what_is_not_open(engine: Process) -> None:
    assert await engine.store.hold(new_request_id(), NEW) is None
    assert await engine.store.cancel(new_request_id(), NEW) is None
    envelope = await running(engine, held_by=OLD)
    await engine.store.finish(envelope, make_result(), 1)
    assert await engine.store.hold(envelope.id, NEW) is None
    assert (await record_of(engine, envelope)).held_by == OLD


async def test_both_holders_see_the_end(engine: Process) -> None:
    envelope = await running(engine, held_by=engine.owner)
    waiting = asyncio.create_task(engine.store.wait(envelope.id, 10))
    await asyncio.sleep(0.05)
    await engine.store.hold(envelope.id, NEW)
    await engine.store.finish(envelope, make_result(), 1)
    record = await waiting
    assert record is not None
    assert record.status is Status.COMPLETED


@two_processes
async def test_the_new_holder_is_woken(engine: Process, other: Process) -> None:
    envelope = await _held(engine, held_by=engine.owner)
    await engine.store.claim(envelope, make_slot())
    record = await other.store.join(envelope.tenant, envelope.body_hash, other.owner)
    assert record is not None
    assert record.held_by == other.owner
    waits = [asyncio.create_task(each.store.wait(envelope.id, 10)) for each in (engine, other)]
    await asyncio.sleep(0.05)
    await engine.store.finish(envelope, make_result(), 1)
    for ended in await asyncio.gather(*waits):
        assert ended is not None
        assert ended.status is Status.COMPLETED


def _calling(body_hash: bytes | None = None, **changes: Any) -> Envelope:
    """Return a held call as a door makes it: in the partition of its body."""
    body_hash = body_hash or secrets.token_bytes(32)
    changes = {"held_by": OLD} | changes
    return make_envelope(id=new_request_id(body_hash), body_hash=body_hash, **changes)


async def _held(engine: Process, body_hash: bytes | None = None, **changes: Any) -> Envelope:
    envelope = _calling(body_hash, **changes)
    assert await engine.store.create(envelope)
    return envelope


async def _join(engine: Process, envelope: Envelope) -> Record | None:
    return await engine.store.join(envelope.tenant, envelope.body_hash, NEW)
