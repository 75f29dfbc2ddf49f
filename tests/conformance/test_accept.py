"""Accepting a request (PROTOCOL 1): create, confirm, take back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from broker.claims import Done
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from schemas.record import born
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import accepted, created, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_slot


async def test_a_new_record_says_what_its_envelope_says(engine: Process) -> None:
    envelope = make_envelope(
        tenant="acme",
        not_before=1_000.5,
        held_by="api:7",
        on_disconnect="finish",
        redrive_of=new_request_id(),
        stream=True,
        restart=True,
        reply_to="amq.gen-x",
        correlation_id="c-ü",
        reply_as="application/msgpack",
        webhook='{"url": "https://example.com/hook"}',
        metadata={"job": "nightly", "ü": "ß"},
    )
    assert await engine.store.create(envelope)
    await engine.store.mark_published(envelope.id, 0)
    assert await record_of(engine, envelope) == replace(born(envelope), published=True)


async def test_an_unknown_id_is_nothing(engine: Process) -> None:
    unknown = new_request_id()
    assert await engine.store.get(unknown) is None
    assert await engine.store.cancel(unknown) is None
    assert await engine.store.statuses([unknown]) == {}


async def test_a_taken_id_is_refused_and_keeps_what_it_held(engine: Process) -> None:
    first = await accepted(engine, tenant="first")
    assert not await engine.store.create(replace(first, tenant="second", body=b"{}"))
    assert (await record_of(engine, first)).tenant == "first"


async def test_of_two_creates_at_once_one_makes_the_record(engine: Process) -> None:
    """As two calls with one idempotency key do: the body hash tells them apart."""
    for _ in range(10):
        first = make_envelope(body_hash=b"1" * 32)
        second = replace(first, body_hash=b"2" * 32)
        made = await asyncio.gather(engine.store.create(first), engine.store.create(second))
        assert sorted(made) == [False, True]
        expected = first.body_hash if made[0] else second.body_hash
        assert (await record_of(engine, first)).body_hash == expected
    assert await engine.store.open_count("default") == 10


async def test_a_record_has_its_envelope_until_its_message_is_confirmed(
    stage: Stage, engine: Process
) -> None:
    envelope = make_envelope(body=b'{"model": "m", "n": 1}')
    await engine.store.create(envelope)
    assert (await record_of(engine, envelope)).published is not stage.messages_apart
    expected = envelope if stage.messages_apart else None
    assert await engine.upkeep.unpublished(envelope.id) == expected
    await engine.store.mark_published(envelope.id, 0)
    assert (await record_of(engine, envelope)).published
    assert await engine.upkeep.unpublished(envelope.id) is None


async def test_taking_back_ends_a_waiting_request_as_not_accepted(engine: Process) -> None:
    envelope = await created(engine)
    assert await engine.store.take_back(envelope)
    record = await record_of(engine, envelope)
    assert record.status is Status.FAILED
    assert record.result is not None
    assert record.result.code == "not_accepted"
    assert await engine.store.take_back(envelope), "it may be repeated"
    assert await engine.store.claim(envelope, make_slot()) == Done()


async def test_what_a_worker_has_is_not_taken_back(engine: Process) -> None:
    envelope = await running(engine)
    assert not await engine.store.take_back(envelope)
    assert (await record_of(engine, envelope)).status is Status.IN_PROGRESS


async def test_what_a_worker_has_had_is_not_taken_back(engine: Process) -> None:
    envelope = await running(engine)
    assert await engine.store.requeue(envelope, 1)
    assert not await engine.store.take_back(envelope)
    assert (await record_of(engine, envelope)).status is Status.QUEUED


async def test_a_cancelled_request_is_not_taken_back(engine: Process) -> None:
    envelope = await accepted(engine)
    await engine.store.cancel(envelope.id)
    assert not await engine.store.take_back(envelope)
    assert (await record_of(engine, envelope)).status is Status.CANCELLED


async def test_statuses_of_many_at_once(engine: Process) -> None:
    waiting, runs = await accepted(engine), await running(engine)
    ids = [waiting.id, runs.id, new_request_id()]
    assert await engine.store.statuses(ids) == {
        waiting.id: Status.QUEUED,
        runs.id: Status.IN_PROGRESS,
    }
    assert await engine.store.statuses([]) == {}
