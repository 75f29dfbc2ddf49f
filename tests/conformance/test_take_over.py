"""Taking a request from a dead process (PROTOCOL 3, the last row; poison needs a witness)."""

from __future__ import annotations

import asyncio
import time

from broker.claims import Done, Finish, Late, Run, Running
from schemas.lifecycle import Status
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.results import make_result, make_slot


async def test_it_runs_as_the_next_attempt(engine: Process) -> None:
    envelope = await running(engine)
    assert await engine.store.take_over(envelope, engine.owner, make_slot()) == Run(2, 0)
    record = await record_of(engine, envelope)
    assert (record.status, record.attempt, record.poison) == (Status.IN_PROGRESS, 2, 0)


async def test_a_death_that_was_witnessed_counts_as_poison(engine: Process) -> None:
    envelope = await running(engine)
    seen = await engine.store.witness([envelope.id])
    assert seen == {envelope.id: Status.IN_PROGRESS}
    assert await engine.store.take_over(envelope, engine.owner, make_slot()) == Run(2, 1)
    again = await engine.store.take_over(envelope, engine.owner, make_slot())
    assert again == Run(3, 1), "the second attempt was not witnessed"
    await engine.store.witness([envelope.id])
    assert await engine.store.take_over(envelope, engine.owner, make_slot()) == Run(4, 2)
    running_now = await engine.store.claim(envelope, make_slot())
    assert running_now == Running(engine.owner, 4, same_generation=True, poison=2)


async def test_a_lost_answer_counts_one_death(engine: Process) -> None:
    envelope, slot = await running(engine), make_slot()
    await engine.store.witness([envelope.id])
    assert await engine.store.take_over(envelope, engine.owner, slot) == Run(2, 1)
    assert await engine.store.take_over(envelope, engine.owner, slot) == Run(2, 1)


async def test_of_many_one_takes_over(engine: Process) -> None:
    envelope = await running(engine)
    assert await engine.store.requeue(envelope, 1)
    tries = [engine.store.take_over(envelope, "dead:1", make_slot()) for _ in range(8)]
    answers = await asyncio.gather(*tries)
    assert sum(isinstance(answer, Run) for answer in answers) == 1


async def test_from_the_wrong_owner_nothing_is_taken(engine: Process) -> None:
    envelope = await running(engine)
    answer = await engine.store.take_over(envelope, "dead:1", make_slot())
    assert answer == Running(engine.owner, 1, same_generation=True, poison=0)
    assert (await record_of(engine, envelope)).attempt == 1


async def test_else_it_is_a_claim(engine: Process) -> None:
    waiting = await accepted(engine)
    assert await engine.store.take_over(waiting, "dead:1", make_slot()) == Run(1, 0)
    ended = await running(engine)
    await engine.store.cancel(ended.id)
    assert await engine.store.take_over(ended, engine.owner, make_slot()) == Done()
    parked = await running(engine)
    await engine.store.requeue(parked.next_generation(0.0), 1)
    assert await engine.store.take_over(parked, engine.owner, make_slot()) == Done()


async def test_past_the_deadline_it_is_late(engine: Process) -> None:
    envelope = await running(engine, deadline=time.time() + 0.3)
    await asyncio.sleep(0.35)
    assert await engine.store.take_over(envelope, engine.owner, make_slot()) == Late(1)
    assert (await engine.store.finish(envelope, make_result(Status.EXPIRED), 1)).won


@two_processes
async def test_the_old_owner_can_do_nothing_more(engine: Process, other: Process) -> None:
    envelope = await running(engine)
    assert await other.store.take_over(envelope, engine.owner, make_slot()) == Run(2, 0)
    assert (await record_of(engine, envelope)).owner == other.owner
    assert not await engine.store.next_attempt(envelope.id, 1, make_slot())
    assert not await engine.store.requeue(envelope.next_generation(0.0), 1)
    assert await engine.store.finish(envelope, make_result(), 1) == Finish(False, None)
    assert (await other.store.finish(envelope, make_result(), 2)).won


@two_processes
async def test_only_the_owner_is_a_witness(engine: Process, other: Process) -> None:
    envelope = await running(engine)
    await other.store.witness([envelope.id])
    assert await other.store.take_over(envelope, engine.owner, make_slot()) == Run(2, 0)
