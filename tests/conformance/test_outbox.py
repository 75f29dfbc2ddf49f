"""The outbox: each end once, in order, until all its readers have done it."""

from __future__ import annotations

import secrets

import pytest

from broker.ports import OutboxEntry, OutboxReader
from schemas.ids import PARTITIONS, new_request_id, partition_of
from schemas.lifecycle import Status
from tests.conformance.stages import Process, two_processes
from tests.conformance.steps import accepted, eventually, outbox, record_of, running
from tests.fakes.results import make_result, make_slot

_LAST = PARTITIONS - 1


async def test_a_commit_names_its_slot(engine: Process) -> None:
    envelope, slot, result = await running(engine), make_slot(), make_result()
    for _ in range(2):
        await engine.store.finish(envelope, result, 1, slot)
    expected = OutboxEntry(envelope.id, Status.COMPLETED, slot, tenant=envelope.tenant)
    assert await outbox(engine) == [expected]


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


async def test_an_entry_says_whose_request_ended_and_what_it_wants(engine: Process) -> None:
    plain = await running(engine, tenant="acme")
    asks = {"webhook": '{"url": "https://example.com"}', "reply_to": "amq.gen-x"}
    committed, cancelled, ended = [await running(engine, tenant="acmé", **asks) for _ in range(3)]
    await engine.store.finish(plain, make_result(), 1)
    await engine.store.finish(committed, make_result(), 1)
    await engine.store.cancel(cancelled.id)
    await engine.upkeep.end(await record_of(engine, ended), make_result(Status.EXPIRED))
    told = {
        entry.request_id: (entry.tenant, entry.wants_webhook, entry.wants_reply)
        for entry in await outbox(engine)
    }
    assert told == {
        plain.id: ("acme", False, False),
        committed.id: ("acmé", True, False),
        cancelled.id: ("acmé", True, True),
        ended.id: ("acmé", True, True),
    }


async def test_each_reader_goes_on_from_where_it_was(engine: Process) -> None:
    upkeep, ids = engine.upkeep, await _cancelled(engine, "0123")
    partition = partition_of(ids[0])

    async def left(reader: OutboxReader) -> list[str]:
        return [each.request_id for _, each in await upkeep.outbox(partition, 10, reader)]

    entries = await upkeep.outbox(partition, 10)
    assert await upkeep.outbox(partition, 10, "webhooks") == entries
    await upkeep.outbox_done(partition, entries[3][0])
    assert await left("settler") == []
    assert await left("webhooks") == ids
    for _ in range(2):
        await upkeep.outbox_done(partition, entries[1][0], "webhooks")
    await upkeep.outbox_done(partition, entries[0][0], "webhooks")
    assert await left("webhooks") == ids[2:]
    assert await left("settler") == [], "it has not gone back"
    await upkeep.outbox_done(partition, entries[3][0], "webhooks")
    assert await left("webhooks") == []


async def test_only_what_wants_a_reply_is_found_by_the_reader_of_replies(engine: Process) -> None:
    upkeep = engine.upkeep
    [silent] = await _cancelled(engine, "0")
    wanting = [silent[:-1] + digit for digit in "12"]
    for request_id in wanting:
        await accepted(engine, id=request_id, reply_to="amq.gen-x")
        await engine.store.cancel(request_id)
    partition = partition_of(silent)
    for reader in ("settler", "webhooks"):
        entries = await upkeep.outbox(partition, 10, reader)
        assert [each.request_id for _, each in entries] == [silent, *wanting]
        await upkeep.outbox_done(partition, entries[-1][0], reader)
    replies = await upkeep.outbox(partition, 10, "replies")
    assert [each.request_id for _, each in replies] == wanting, "the others have passed them"
    assert await upkeep.outbox(partition, 1, "replies") == replies[:1]
    await upkeep.outbox_done(partition, replies[0][0], "replies")
    assert await upkeep.outbox(partition, 10, "replies") == replies[1:]
    await upkeep.outbox_done(partition, replies[1][0], "replies")
    assert await upkeep.outbox(partition, 10, "replies") == []


@pytest.mark.parametrize("wish", [{"webhook": "https://example.com"}, {"reply_to": "amq.gen-x"}])
async def test_an_end_that_no_worker_sees_to_wakes_the_readers(
    engine: Process, wish: dict[str, str]
) -> None:
    news = _News(engine)
    await news.are_heard(engine)
    plain, committed, cancelled, ended = [_in_partition(number) for number in range(4)]
    await accepted(engine, id=plain)
    await engine.store.cancel(plain)
    envelope = await running(engine, id=committed, **wish)
    await engine.store.finish(envelope, make_result(), 1)
    await accepted(engine, id=cancelled, **wish)
    await engine.store.cancel(cancelled)
    record = await record_of(engine, await accepted(engine, id=ended, **wish))
    assert await engine.upkeep.end(record, make_result(Status.EXPIRED))
    # Words from two masters of a cluster come in any order.
    await news.until(2)
    await news.until(3)
    told = [each for each in news.partitions if each != _LAST]
    assert sorted(told) == [2, 3], "not of what nobody asked for, or a worker sees to"


@two_processes
async def test_another_process_is_woken(engine: Process, other: Process) -> None:
    news = _News(other)
    await news.are_heard(engine)
    envelope = await accepted(engine, id=_in_partition(1), webhook="https://example.com")
    await engine.store.cancel(envelope.id)
    await news.until(1)


class _News:
    """The partitions that a process was told of; the last one only shows whether it hears."""

    def __init__(self, engine: Process) -> None:
        self.partitions: list[int] = []
        engine.upkeep.on_outbox(self.partitions.append)

    async def until(self, partition: int) -> None:
        async def told() -> bool:
            return partition in self.partitions

        await eventually(told)

    async def are_heard(self, engine: Process) -> None:
        """Return once ends are told; what was told until then is forgotten."""

        async def told() -> bool:
            request_id = _in_partition(_LAST)
            await accepted(engine, id=request_id, webhook="https://example.com")
            await engine.store.cancel(request_id)
            # Once it is connected, a process is told of every partition.
            return self.partitions.count(_LAST) > self.partitions.count(0)

        await eventually(told)
        self.partitions.clear()


def _in_partition(number: int) -> str:
    return f"req_{number:02x}{secrets.token_hex(16)}"


async def _cancelled(engine: Process, digits: str) -> list[str]:
    base = new_request_id()[:-1]
    for digit in digits:
        await accepted(engine, id=base + digit)
        await engine.store.cancel(base + digit)
    return [base + digit for digit in digits]
