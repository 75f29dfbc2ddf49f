"""Accepting many requests at once: each is as if it had come by itself (PROTOCOL 1)."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from broker.claims import Done
from broker.ports import Selection
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.priority import PRIORITIES, Lane, Priority
from schemas.record import born
from tests.conformance.stages import Process, QueueProcess, Stage
from tests.conformance.steps import accepted, created, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_slot

TENANTS, MODELS = ("acme", "ünï:1"), ("m", "org/model: 7B.x")


def some(count: int, dice: random.Random) -> list[Envelope]:
    """Return requests of every kind that a door accepts."""
    now = time.time()
    return [
        make_envelope(
            tenant=dice.choice(TENANTS),
            model=dice.choice(MODELS),
            priority=dice.choice(PRIORITIES),
            endpoint=dice.choice(["/v1/chat/completions", "/v1/responses"]),
            accepted_at=now + number / 1000,
            deadline=now + dice.choice([60, 86_400]),
            not_before=dice.choice([None, now + 30]),
            held_by=dice.choice([None, None, "api:1"]),
            webhook=dice.choice([None, '{"url": "https://example.com/hook"}']),
            metadata=dice.choice([{}, {"ü": "ß"}]),
            body=b'{"model": "m", "n": %d}' % number,
            body_hash=bytes([number % 256]) * 32,
        )
        for number in range(count)
    ]


async def test_many_made_at_once_are_what_each_is_alone(stage: Stage, engine: Process) -> None:
    envelopes = some(240, random.Random(7))
    assert list(await engine.store.create_all(envelopes)) == [True] * 240
    for envelope in envelopes:
        known = replace(born(envelope), published=not stage.messages_apart)
        assert await record_of(engine, envelope) == known
        kept = envelope if stage.messages_apart else None
        assert await engine.upkeep.unpublished(envelope.id) == kept
        asked = envelope.body if envelope.endpoint == "/v1/responses" else None
        assert await engine.store.asked(envelope.id) == asked
    await _counted(engine, envelopes)
    for tenant in TENANTS:
        listed = await engine.store.select(Selection(tenant, newest_first=False), None, 300)
        assert listed is not None
        own = [each.id for each in envelopes if each.tenant == tenant]
        assert [record.id for record in listed] == own


async def _counted(engine: Process, envelopes: list[Envelope]) -> None:
    for tenant in TENANTS:
        own = [each for each in envelopes if each.tenant == tenant]
        assert await engine.store.open_count(tenant) == len(own)
    for model in MODELS:
        wait = [(each.priority, each.tenant) for each in envelopes if each.model == model]
        assert await engine.store.waiting(model) == {
            priority: {
                tenant: wait.count((priority, tenant))
                for tenant in TENANTS
                if (priority, tenant) in wait
            }
            for priority in PRIORITIES
            if any(at[0] is priority for at in wait)
        }
    assert set(await engine.store.waiting_models()) == {each.model for each in envelopes}


async def test_the_same_call_again_is_no_conflict(engine: Process) -> None:
    envelopes = some(30, random.Random(1))
    for _ in range(2):
        assert list(await engine.store.create_all(envelopes)) == [True] * 30
    await _counted(engine, envelopes)


async def test_what_is_taken_is_refused_and_the_others_are_made(engine: Process) -> None:
    there, runs = await accepted(engine, tenant="first"), await running(engine)
    new = [make_envelope() for _ in range(3)]
    other = [replace(each, body=b'{"model": "x"}', tenant="second") for each in (there, runs)]
    made = await engine.store.create_all([new[0], other[0], new[1], other[1], new[2]])
    assert list(made) == [True, False, True, False, True]
    assert (await record_of(engine, there)).tenant == "first"


async def test_of_equal_ids_in_one_call_the_first_is_made(engine: Process) -> None:
    first = make_envelope(body_hash=b"1" * 32)
    second = replace(first, body_hash=b"2" * 32, body=b'{"model": "m", "n": 2}')
    assert list(await engine.store.create_all([first, second])) == [True, False]
    assert (await record_of(engine, first)).body_hash == b"1" * 32
    assert await engine.store.open_count("default") == 1


async def test_what_was_taken_back_makes_room_for_a_newer_one(engine: Process) -> None:
    refused = await created(engine)
    assert await engine.store.take_back(refused)
    newer = replace(refused, generation=1)
    assert list(await engine.store.create_all([refused, make_envelope()])) == [False, True]
    assert list(await engine.store.create_all([newer, make_envelope()])) == [True, True]
    assert await engine.store.claim(refused, make_slot()) == Done()


async def test_none_is_no_mistake(engine: Process) -> None:
    assert list(await engine.store.create_all([])) == []
    await engine.store.mark_all_published([])


async def test_many_are_noted_as_published(engine: Process) -> None:
    envelopes = some(120, random.Random(3))
    await engine.store.create_all(envelopes)
    ended = envelopes[0]
    await engine.store.cancel(ended.id)
    unknown = make_envelope(id=new_request_id(), tenant="acme")
    for _ in range(2):
        await engine.store.mark_all_published([*envelopes, unknown])
    for envelope in envelopes[1:]:
        assert await record_of(engine, envelope) == replace(born(envelope), published=True)
        assert await engine.upkeep.unpublished(envelope.id) is None
    assert await engine.store.get(unknown.id) is None


async def test_a_copy_older_than_the_record_is_not_noted(stage: Stage, engine: Process) -> None:
    envelope = make_envelope(generation=2)
    await engine.store.create_all([envelope])
    await engine.store.mark_all_published([replace(envelope, generation=1)])
    assert (await record_of(engine, envelope)).published is not stage.messages_apart


async def test_many_published_at_once_are_all_delivered(queue_engine: QueueProcess) -> None:
    envelopes = [
        make_envelope(lane=lane, priority=priority, accepted_at=time.time() + number / 1000)
        for number in range(50)
        for lane, priority in ((Lane.OPEN, Priority.NORMAL), (Lane.FLOOD, Priority.LOW))
    ]
    assert list(await queue_engine.store.create_all(envelopes)) == [True] * 100
    assert list(await queue_engine.queue.publish_all(envelopes)) == [None] * 100
    for lane, priority in ((Lane.OPEN, Priority.NORMAL), (Lane.FLOOD, Priority.LOW)):
        inbox = Inbox()
        await queue_engine.queue.consume("m", priority, lane, 100, inbox)
        await inbox.count(50)
        assert inbox.ids == [each.id for each in envelopes if each.lane is lane]
    assert list(await queue_engine.queue.publish_all([])) == []
