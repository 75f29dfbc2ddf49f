"""The outbox: each end once, in order, until it is done."""

from __future__ import annotations

from broker.ports import OutboxEntry
from schemas.ids import new_request_id, partition_of
from schemas.lifecycle import Status
from tests.conformance.stages import Process
from tests.conformance.steps import accepted, outbox, record_of, running
from tests.fakes.results import make_result, make_slot


async def test_a_commit_names_its_slot(engine: Process) -> None:
    envelope, slot, result = await running(engine), make_slot(), make_result()
    for _ in range(2):
        await engine.store.finish(envelope, result, 1, slot)
    assert await outbox(engine) == [OutboxEntry(envelope.id, Status.COMPLETED, slot)]


async def test_a_lost_commit_adds_nothing(engine: Process) -> None:
    envelope = await running(engine)
    await engine.store.cancel(envelope.id)
    await engine.store.finish(envelope, make_result(), 1, make_slot())
    assert [entry.status for entry in await outbox(engine)] == [Status.CANCELLED]


async def test_the_slot_of_a_cancelled_call_is_left_to_the_call(engine: Process) -> None:
    cancelled, ended = await running(engine), await running(engine)
    await engine.store.cancel(cancelled.id)
    await engine.upkeep.end(await record_of(engine, ended), make_result(Status.CANCELLED))
    assert [entry.reservation for entry in await outbox(engine)] == [None, None]


async def test_a_refusal_is_no_result_to_act_on(engine: Process) -> None:
    envelope = await accepted(engine)
    await engine.store.take_back(envelope)
    assert await outbox(engine) == []


async def test_entries_come_in_order_and_go_when_done(engine: Process) -> None:
    base = new_request_id()[:-1]
    partition = partition_of(base + "0")
    for digit in "0123":
        envelope = await running(engine, id=base + digit)
        await engine.store.finish(envelope, make_result(), 1)
    first = await engine.upkeep.outbox(partition, 2)
    assert [entry.request_id for _, entry in first] == [base + "0", base + "1"]
    assert await engine.upkeep.outbox(partition, 2) == first, "until it is done"
    await engine.upkeep.outbox_done(partition, first[0][0])
    rest = await engine.upkeep.outbox(partition, 10)
    assert [entry.request_id for _, entry in rest] == [base + "1", base + "2", base + "3"]
    await engine.upkeep.outbox_done(partition, rest[-1][0])
    await engine.upkeep.outbox_done(partition, rest[-1][0])
    assert await engine.upkeep.outbox(partition, 10) == []


async def test_what_comes_later_is_seen_after_a_trim(engine: Process) -> None:
    base = new_request_id()[:-1]
    partition = partition_of(base + "0")
    for digit in "01":
        envelope = await running(engine, id=base + digit)
        await engine.store.finish(envelope, make_result(), 1)
        [(cursor, entry)] = await engine.upkeep.outbox(partition, 10)
        assert entry.request_id == base + digit
        await engine.upkeep.outbox_done(partition, cursor)
