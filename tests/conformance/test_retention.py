"""What stays of an ended request, and for how long."""

from __future__ import annotations

import asyncio
import time

from broker.claims import Done, Finish, Late
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import accepted, eventually, outbox, record_of, running
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

_SHORT_S = 0.3


async def test_readers_see_a_result_until_its_retention_ends(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        envelope = await _ended(engine)
        assert (await record_of(engine, envelope)).terminal
        await _until_gone(engine, envelope)
        assert await engine.store.wait(envelope.id, 30) is None
        assert await engine.store.cancel(envelope.id) is None


async def test_a_late_copy_finds_a_tombstone_until_the_deadline(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        envelope = await _ended(engine)
        await _until_gone(engine, envelope)
        await engine.upkeep.sweep()
        assert await engine.store.claim(envelope, make_slot()) == Done()
        assert await engine.store.finish(envelope, make_result(), 9) == Finish(False, None)
        assert not await engine.store.create(envelope)
        assert len(await outbox(engine)) == 1


async def test_after_the_deadline_nothing_is_left(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        envelope = await _ended(engine, deadline=time.time() + 0.5)

        async def id_is_free() -> bool:
            await engine.upkeep.sweep()
            return await engine.store.statuses([envelope.id]) == {}

        await eventually(id_is_free)


async def test_a_copy_later_than_the_tombstone_makes_nothing_new(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        envelope = await accepted(engine, deadline=time.time() + 0.5)
        await engine.store.cancel(envelope.id)
        await asyncio.sleep(0.7)
        await engine.upkeep.sweep()
        assert await engine.store.claim(envelope, make_slot()) == Done()
        assert await engine.store.take_over(envelope, "dead:1", make_slot()) == Done()
        assert await engine.store.get(envelope.id) is None
        assert [entry.status for entry in await outbox(engine)] == [Status.CANCELLED]


async def test_a_copy_that_can_have_no_tombstone_yet_is_late(stage: Stage) -> None:
    """What was lost rather than forgotten still gets its end: it is told as expired."""
    async with stage.open(30) as engine:
        now = time.time()
        envelope = make_envelope(accepted_at=now - 20, deadline=now - 10)
        assert await engine.store.claim(envelope, make_slot()) == Late(0)
        older = make_envelope(accepted_at=now - 40, deadline=now - 10)
        assert await engine.store.claim(older, make_slot()) == Done()


async def test_open_requests_are_never_swept(stage: Stage) -> None:
    async with stage.open(_SHORT_S) as engine:
        past = time.time() - 100
        envelopes = [await accepted(engine, accepted_at=past, deadline=past + 1) for _ in range(3)]
        await asyncio.sleep(2 * _SHORT_S)
        await engine.upkeep.sweep()
        for envelope in envelopes:
            await record_of(engine, envelope)


async def _ended(engine: Process, **changes: float) -> Envelope:
    envelope = await running(engine, **changes)
    assert (await engine.store.finish(envelope, make_result(), 1)).won
    return envelope


async def _until_gone(engine: Process, envelope: Envelope) -> None:
    async def gone() -> bool:
        return await engine.store.get(envelope.id) is None

    await eventually(gone)
