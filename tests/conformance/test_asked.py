"""What is kept of a request whose client may ask for it, and how a client lets go of one."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broker.claims import Done, Finish
from broker.ports import Selection
from schemas.lifecycle import Status
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import accepted, created, eventually, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

ENDPOINT = "/v1/responses"
_BODY = b'{"model": "m", "input": "h\xc3\xb6"}'


async def test_the_body_is_kept_from_birth_to_the_end_and_after(engine: Process) -> None:
    envelope = await created(engine, endpoint=ENDPOINT, body=_BODY)
    assert await engine.store.asked(envelope.id) == _BODY
    await engine.store.mark_published(envelope.id, 0)
    assert await engine.store.asked(envelope.id) == _BODY
    await engine.store.claim(envelope, make_slot())
    await engine.store.finish(envelope, make_result(), 1)
    assert await engine.store.asked(envelope.id) == _BODY
    assert (await record_of(engine, envelope)).endpoint == ENDPOINT


async def test_no_other_body_is_kept(engine: Process) -> None:
    envelope = await created(engine, endpoint="/v1/chat/completions")
    assert await engine.store.asked(envelope.id) is None
    assert await engine.store.asked(make_envelope().id) is None


async def test_a_record_that_is_rebuilt_has_its_body_again(engine: Process) -> None:
    claimed = make_envelope(endpoint=ENDPOINT, body=_BODY)
    await engine.store.claim(claimed, make_slot())
    committed = make_envelope(endpoint=ENDPOINT, body=_BODY)
    await engine.store.finish(committed, make_result(), 1)
    assert await engine.store.asked(claimed.id) == _BODY
    assert await engine.store.asked(committed.id) == _BODY


async def test_the_body_goes_with_the_result(stage: Stage) -> None:
    async with stage.open(0.3) as engine:
        envelope = await running(engine, endpoint=ENDPOINT, body=_BODY)
        await engine.store.finish(envelope, make_result(), 1)

        async def gone() -> bool:
            await engine.upkeep.sweep()
            return await engine.store.asked(envelope.id) is None

        await eventually(gone)
        waiting = await accepted(engine, endpoint=ENDPOINT, body=_BODY)
        await engine.upkeep.sweep()
        assert await engine.store.asked(waiting.id) == _BODY


async def test_a_refusal_that_made_room_left_no_body(engine: Process) -> None:
    envelope = await created(engine, endpoint=ENDPOINT, body=_BODY)
    await engine.store.take_back(envelope)
    again = replace(envelope, generation=1, body=b"{}")
    assert await engine.store.create(again)
    assert await engine.store.asked(envelope.id) == b"{}"


@pytest.mark.parametrize("dead", [False, True])
async def test_what_is_forgotten_reads_as_unknown(engine: Process, dead: bool) -> None:
    envelope = await running(engine, endpoint=ENDPOINT, tenant="acme")
    result = make_result(Status.FAILED)
    await engine.store.finish(envelope, result, 1, keep_envelope=dead)
    assert await engine.store.forget(envelope.id)
    assert await engine.store.get(envelope.id) is None
    assert await engine.store.wait(envelope.id, 10) is None
    assert await engine.store.cancel(envelope.id) is None
    assert await engine.store.asked(envelope.id) is None
    assert await engine.store.select(Selection("acme"), None, 10) == []
    assert await engine.dead_letters.get(envelope.id) is None
    assert await engine.dead_letters.envelope(envelope.id) is None
    assert await engine.dead_letters.select(Selection("acme"), None, 10) == []
    assert not await engine.store.forget(envelope.id)


async def test_a_late_copy_of_what_is_forgotten_does_not_run(engine: Process) -> None:
    envelope, result = await running(engine), make_result()
    await engine.store.finish(envelope, result, 1)
    assert await engine.store.forget(envelope.id)
    await engine.upkeep.sweep()
    assert await engine.store.claim(envelope, make_slot()) == Done()
    assert await engine.store.finish(envelope, result, 2) == Finish(False, None)
    assert not await engine.store.create(envelope)


async def test_only_what_has_ended_is_forgotten(engine: Process) -> None:
    waiting, runs = await accepted(engine), await running(engine)
    for envelope in (waiting, runs, make_envelope()):
        assert not await engine.store.forget(envelope.id)
    assert (await record_of(engine, waiting)).status is Status.QUEUED
    assert (await record_of(engine, runs)).status is Status.IN_PROGRESS


async def test_a_reply_is_noted_once_the_request_has_ended(engine: Process) -> None:
    envelope = await running(engine, reply_to="amq.gen-x", deadline=time.time() + 60)
    await engine.store.mark_replied(envelope.id)
    assert not (await record_of(engine, envelope)).replied, "nothing can have been replied"
    await engine.store.finish(envelope, make_result(), 1)
    assert not (await record_of(engine, envelope)).replied
    for _ in range(2):
        await engine.store.mark_replied(envelope.id)
    assert (await record_of(engine, envelope)).replied
    unknown = make_envelope()
    await engine.store.mark_replied(unknown.id)
    assert await engine.store.get(unknown.id) is None
