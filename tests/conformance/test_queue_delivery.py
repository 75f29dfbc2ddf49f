"""Deliveries: once, in order, within the prefetch, to whoever consumes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from broker.claims import Run
from broker.ports import Delivery
from schemas.priority import PRIORITIES, Lane, Priority
from tests.conformance.stages import QueueProcess
from tests.conformance.steps import eventually, submitted
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_result, make_slot

NORMAL = Priority.NORMAL
_QUIET_S = 0.4


async def finish(engine: QueueProcess, delivery: Delivery) -> None:
    """End a request as its worker does: the record first, then the ack."""
    assert isinstance(await engine.store.claim(delivery.envelope, make_slot()), Run)
    assert (await engine.store.finish(delivery.envelope, make_result(), 1)).won
    await delivery.ack()


async def test_what_was_published_is_delivered_whole(queue_engine: QueueProcess) -> None:
    changes: dict[str, Any] = {
        "tenant": "acme",
        "body": bytes(range(256)) * 400,
        "metadata": {"k": "v"},
        "model_span": (0, 5),
    }
    envelope = await submitted(queue_engine, **changes)
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 5, inbox)
    [delivery] = await inbox.count(1)
    assert delivery.envelope == envelope
    await finish(queue_engine, delivery)


async def test_a_waiting_consumer_is_told(queue_engine: QueueProcess) -> None:
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 5, inbox)
    envelope = await submitted(queue_engine)
    await inbox.count(1, timeout_s=5)
    assert inbox.ids == [envelope.id]


async def test_the_oldest_comes_first(queue_engine: QueueProcess) -> None:
    now = time.time()
    envelopes = [await submitted(queue_engine, accepted_at=now + age) for age in range(20)]
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 30, inbox)
    await inbox.count(20)
    assert inbox.ids == [envelope.id for envelope in envelopes]


async def test_no_more_than_the_prefetch_is_out(queue_engine: QueueProcess) -> None:
    for _ in range(7):
        await submitted(queue_engine)
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 3, inbox)
    await inbox.count(3)
    await asyncio.sleep(_QUIET_S)
    assert len(inbox.got) == 3
    await finish(queue_engine, inbox.got[0])
    await inbox.count(4)
    await asyncio.sleep(_QUIET_S)
    assert len(inbox.got) == 4


async def test_each_is_delivered_once(queue_engine: QueueProcess) -> None:
    inboxes = [Inbox(), Inbox()]
    for inbox in inboxes:
        await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 4, inbox)
    envelopes = await asyncio.gather(*(submitted(queue_engine) for _ in range(30)))
    finished: set[str] = set()

    async def all_finished() -> bool:
        for delivery in [each for inbox in inboxes for each in inbox.got]:
            if delivery.envelope.id not in finished:
                finished.add(delivery.envelope.id)
                await finish(queue_engine, delivery)
        return len(finished) == 30

    await eventually(all_finished)
    await asyncio.sleep(_QUIET_S)
    ids = inboxes[0].ids + inboxes[1].ids
    assert sorted(ids) == sorted(envelope.id for envelope in envelopes)
    assert all(inbox.got for inbox in inboxes), "consumers share"


@pytest.mark.parametrize("priority", PRIORITIES)
async def test_a_consumer_gets_its_own_class_only(
    queue_engine: QueueProcess, priority: Priority
) -> None:
    inbox = Inbox()
    await queue_engine.queue.consume("m", priority, Lane.OPEN, 10, inbox)
    envelopes = [await submitted(queue_engine, priority=each) for each in PRIORITIES]
    await inbox.count(1)
    await asyncio.sleep(_QUIET_S)
    assert inbox.ids == [each.id for each in envelopes if each.priority is priority]


async def test_the_depth_counts_what_nobody_has(queue_engine: QueueProcess) -> None:
    for _ in range(5):
        await submitted(queue_engine)

    def depth_is(wanted: int) -> Any:
        async def holds() -> bool:
            return await queue_engine.queue.depth("m", NORMAL) == wanted

        return holds

    await eventually(depth_is(5))
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 2, inbox)
    await inbox.count(2)
    await eventually(depth_is(3))
    await queue_engine.store.claim(inbox.got[0].envelope, make_slot())
    await eventually(depth_is(3))
    assert await queue_engine.queue.depth("m", Priority.HIGH) == 0


async def test_after_its_stop_a_consumer_gets_nothing_and_settles_what_it_has(
    queue_engine: QueueProcess,
) -> None:
    first, second = Inbox(), Inbox()
    consumer = await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 2, first)
    for _ in range(3):
        await submitted(queue_engine)
    await first.count(2)
    await consumer.stop()
    await finish(queue_engine, first.got[0])
    await first.got[1].requeue()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 5, second)
    await second.count(2)
    await asyncio.sleep(_QUIET_S)
    assert len(first.got) == 2
    assert len(second.got) == 2
    assert first.ids[1] in second.ids


async def test_a_cancelled_request_hurts_nobody(queue_engine: QueueProcess) -> None:
    cancelled, well = await submitted(queue_engine), await submitted(queue_engine)
    await queue_engine.store.cancel(cancelled.id)
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.OPEN, 1, inbox)

    async def well_ran() -> bool:
        for delivery in inbox.got[len(seen) :]:
            seen.append(delivery.envelope.id)
            claim = await queue_engine.store.claim(delivery.envelope, make_slot())
            if isinstance(claim, Run):
                ran.append(delivery.envelope.id)
            await delivery.ack()
        return ran == [well.id]

    seen: list[str] = []
    ran: list[str] = []
    await eventually(well_ran)
