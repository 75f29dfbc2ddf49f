"""Requests made of messages without an id, found by a mark when the message comes again."""

from __future__ import annotations

import secrets
from dataclasses import replace

from schemas.ids import new_request_id
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import record_of
from tests.fakes.envelopes import make_envelope


async def test_a_request_is_found_by_its_mark_once(engine: Process) -> None:
    mark = secrets.token_bytes(32)
    envelope = make_envelope(id=new_request_id(mark))
    assert await engine.store.taken_in(mark) is None
    assert await engine.store.create(envelope, mark)
    assert await engine.store.taken_in(mark) == envelope.id
    assert await engine.store.taken_in(mark) is None
    await record_of(engine, envelope)


async def test_a_mark_is_forgotten(engine: Process) -> None:
    mark = secrets.token_bytes(32)
    envelope = make_envelope(id=new_request_id(mark))
    await engine.store.create(envelope, mark)
    assert await engine.store.forget_mark(mark, envelope.id)
    assert not await engine.store.forget_mark(mark, envelope.id)
    assert await engine.store.taken_in(mark) is None


async def test_who_forgets_a_mark_learns_that_it_was_taken(engine: Process) -> None:
    mark = secrets.token_bytes(32)
    envelope = make_envelope(id=new_request_id(mark))
    await engine.store.create(envelope, mark)
    assert await engine.store.taken_in(mark) == envelope.id
    assert await engine.store.create(envelope, mark), "a repeat, which marks nothing again"
    assert not await engine.store.forget_mark(mark, envelope.id)


async def test_marks_do_not_stand_in_for_each_other(engine: Process) -> None:
    made = {}
    for _ in range(20):
        mark = secrets.token_bytes(32)
        made[mark] = make_envelope(id=new_request_id(mark))
        assert await engine.store.create(made[mark], mark)
    for mark, envelope in made.items():
        assert await engine.store.taken_in(mark) == envelope.id


async def test_of_equal_marks_each_is_found_once(engine: Process) -> None:
    mark = secrets.token_bytes(32)
    made = [make_envelope(id=new_request_id(mark)) for _ in range(3)]
    for envelope in made:
        assert await engine.store.create(envelope, mark)
        await record_of(engine, envelope)
    assert await engine.store.forget_mark(mark, made[1].id)
    found = {await engine.store.taken_in(mark) for _ in range(2)}
    assert found == {made[0].id, made[2].id}
    assert await engine.store.taken_in(mark) is None


async def test_a_create_whose_answer_was_lost_keeps_its_mark(engine: Process) -> None:
    mark = secrets.token_bytes(32)
    envelope = make_envelope(id=new_request_id(mark))
    for _ in range(2):
        assert await engine.store.create(envelope, mark)
    assert await engine.store.taken_in(mark) == envelope.id


async def test_a_create_that_is_refused_leaves_the_mark_alone(engine: Process) -> None:
    mark = secrets.token_bytes(32)
    envelope = make_envelope(id=new_request_id(mark))
    assert await engine.store.create(envelope)
    assert not await engine.store.create(replace(envelope, body=b"{}"), mark)
    assert await engine.store.taken_in(mark) is None


@two_processes
async def test_another_process_finds_it(engine: Process, other: Process) -> None:
    mark = secrets.token_bytes(32)
    envelope = make_envelope(id=new_request_id(mark))
    await engine.store.create(envelope, mark)
    assert await other.store.taken_in(mark) == envelope.id
