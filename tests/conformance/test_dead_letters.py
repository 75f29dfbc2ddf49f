"""Dead letters: requests that ended with their envelope kept, and messages that are not ours."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from broker.claims import Finish
from broker.ports import DeadLetter, ForeignLetter, Selection
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import accepted, eventually, record_of, running
from tests.fakes.results import make_result

_ALL = Selection(None)


async def test_a_dead_letter_is_listed_with_its_envelope(engine: Process) -> None:
    envelope = await _dead(engine, tenant="acme")
    (record,) = await engine.dead_letters.select(_ALL, None, 10) or []
    assert record == await record_of(engine, envelope)
    assert await engine.dead_letters.get(envelope.id) == record
    assert await engine.dead_letters.envelope(envelope.id) == envelope


async def test_what_ended_otherwise_is_none(engine: Process) -> None:
    failed, waiting = await running(engine), await accepted(engine)
    await engine.store.finish(failed, make_result(Status.FAILED), 1)
    assert await engine.dead_letters.select(_ALL, None, 10) == []
    for request_id in (failed.id, waiting.id, new_request_id(), "", "x"):
        assert await engine.dead_letters.get(request_id) is None
        assert await engine.dead_letters.envelope(request_id) is None
    for request_id in (failed.id, waiting.id, new_request_id()):
        assert not await engine.dead_letters.purge(request_id)
        assert not await engine.dead_letters.redriven(request_id, new_request_id())
    assert (await record_of(engine, waiting)).redriven_as is None


async def test_they_are_filtered_and_paged_as_other_lists(engine: Process) -> None:
    now = time.time()
    made = [
        await _dead(engine, tenant=f"t{n % 2}", model=f"m{n % 3}", accepted_at=now - 20 + n)
        for n in range(12)
    ]
    first = await engine.dead_letters.select(_ALL, None, 5) or []
    rest = await engine.dead_letters.select(_ALL, first[-1].id, 50) or []
    assert [each.id for each in first + rest] == [each.id for each in reversed(made)]
    mine = Selection("t1", model="m0", newest_first=False)
    found = await engine.dead_letters.select(mine, None, 10) or []
    assert [each.id for each in found] == [made[3].id, made[9].id]
    late = Selection("t1", created_after=made[8].accepted_at)
    found = await engine.dead_letters.select(late, None, 10) or []
    assert [each.id for each in found] == [made[11].id, made[9].id]
    assert await engine.dead_letters.select(Selection("t0"), made[1].id, 10) is None


async def test_a_dead_letter_outlives_the_retention_of_its_result(stage: Stage) -> None:
    async with stage.open(0.3) as engine:
        envelope = await _dead(engine, code="attempts_exhausted", message="Tried 5 times.")

        async def untold() -> bool:
            return await engine.store.get(envelope.id) is None

        await eventually(untold)
        await engine.upkeep.sweep()
        assert await engine.store.select(_ALL, None, 10) == []
        (record,) = await engine.dead_letters.select(_ALL, None, 10) or []
        assert record.result is not None
        assert (record.result.code, record.result.message) == (
            "attempts_exhausted",
            "Tried 5 times.",
        )
        assert await engine.dead_letters.get(envelope.id) == record
        assert await engine.dead_letters.envelope(envelope.id) == envelope
        late = await engine.store.finish(envelope, make_result(), 1)
        assert late == Finish(won=False, result=None), "nobody is told it any more"


async def test_a_redrive_is_noted_once(engine: Process) -> None:
    envelope, as_id = await _dead(engine), new_request_id()
    assert await engine.dead_letters.redriven(envelope.id, as_id)
    assert await engine.dead_letters.redriven(envelope.id, as_id), "it may be repeated"
    assert not await engine.dead_letters.redriven(envelope.id, new_request_id())
    (record,) = await engine.dead_letters.select(_ALL, None, 10) or []
    assert record.redriven_as == as_id
    assert (await record_of(engine, envelope)).redriven_as == as_id


async def test_of_two_redrives_at_once_one_is_noted(engine: Process) -> None:
    envelope, ids = await _dead(engine), [new_request_id(), new_request_id()]
    noted = await asyncio.gather(
        *(engine.dead_letters.redriven(envelope.id, as_id) for as_id in ids)
    )
    assert sorted(noted) == [False, True]
    assert (await record_of(engine, envelope)).redriven_as == ids[noted.index(True)]


async def test_a_redriven_request_says_what_it_repeats(engine: Process) -> None:
    envelope = await _dead(engine)
    again = await accepted(engine, redrive_of=envelope.id)
    assert (await record_of(engine, again)).redrive_of == envelope.id


async def test_a_purged_letter_is_gone_and_its_record_stays(engine: Process) -> None:
    envelope, kept = await _dead(engine), await _dead(engine)
    before = await record_of(engine, envelope)
    assert await engine.dead_letters.purge(envelope.id)
    assert await engine.dead_letters.get(envelope.id) is None
    assert not await engine.dead_letters.purge(envelope.id)
    assert await engine.dead_letters.envelope(envelope.id) is None
    assert not await engine.dead_letters.redriven(envelope.id, new_request_id())
    found = await engine.dead_letters.select(_ALL, None, 10) or []
    assert [each.id for each in found] == [kept.id]
    assert await record_of(engine, envelope) == before


@pytest.mark.parametrize("retention_s", [0.3, 60])
async def test_sweeping_takes_no_letter(stage: Stage, retention_s: float) -> None:
    async with stage.open(retention_s) as engine:
        envelope = await _dead(engine, deadline=time.time() + 0.1)
        await asyncio.sleep(0.5)
        await engine.upkeep.sweep()
        found = await engine.dead_letters.select(_ALL, None, 10) or []
        assert [each.id for each in found] == [envelope.id]


async def test_foreign_messages_are_shown_newest_first_and_purged(engine: Process) -> None:
    began = time.time()
    for number in range(3):
        await engine.upkeep.file_dead_letter(DeadLetter(None, f"rejected {number}", b"\x00\xff"))
    found = await engine.dead_letters.foreign(2)
    assert [each.reason for each in found] == ["rejected 2", "rejected 1"]
    assert replace(found[0], filed_at=0) == ForeignLetter("rejected 2", b"\x00\xff", 0)
    assert began - 1 <= found[0].filed_at <= time.time() + 1
    assert await engine.dead_letters.purge_foreign() == 3
    assert await engine.dead_letters.purge_foreign() == 0
    assert await engine.dead_letters.foreign(10) == []


async def _dead(engine: Process, code: str = "poisoned", **changes: Any) -> Envelope:
    message = changes.pop("message", None)
    envelope = await running(engine, **changes)
    result = make_result(Status.FAILED, code=code, message=message)
    assert (await engine.store.finish(envelope, result, 1, keep_envelope=True)).won
    return envelope
