"""Two lanes for each model and priority: a request waits, and comes back, in its own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from schemas.envelope import Envelope
from schemas.priority import Lane, Priority
from tests.conformance.stages import QueueProcess
from tests.conformance.steps import eventually, submitted
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_slot

NORMAL = Priority.NORMAL
_QUIET_S = 0.4


@pytest.mark.parametrize("lane", Lane)
async def test_a_consumer_gets_its_own_lane_only(queue_engine: QueueProcess, lane: Lane) -> None:
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, lane, 10, inbox)
    envelopes = [await submitted(queue_engine, lane=each) for each in Lane]
    await inbox.count(1)
    await asyncio.sleep(_QUIET_S)
    assert inbox.ids == [each.id for each in envelopes if each.lane is lane]
    assert inbox.got[0].envelope.lane is lane


@pytest.mark.parametrize("lane", Lane)
async def test_a_retry_comes_back_to_its_lane(queue_engine: QueueProcess, lane: Lane) -> None:
    queue, store = queue_engine.queue, queue_engine.store
    inboxes = {each: Inbox() for each in Lane}
    for each, inbox in inboxes.items():
        await queue.consume("m", NORMAL, each, 10, inbox)
    envelope = await submitted(queue_engine, lane=lane)
    [first] = await inboxes[lane].count(1)
    await store.claim(first.envelope, make_slot())
    copy = first.envelope.next_generation(envelope.accepted_at + 0.5)
    await queue.publish_later(copy, 0.5)
    assert await store.requeue(copy, 1)
    await first.ack()
    await inboxes[lane].count(2)
    assert inboxes[lane].got[1].envelope == copy
    assert sum(len(inbox.got) for inbox in inboxes.values()) == 2


async def test_the_depth_is_that_of_both_and_the_survey_tells_them_apart(
    queue_engine: QueueProcess,
) -> None:
    for lane in (Lane.OPEN, Lane.FLOOD, Lane.FLOOD):
        await submitted(queue_engine, lane=lane)

    async def all_there() -> bool:
        return await queue_engine.queue.depth("m", NORMAL) == 3

    await eventually(all_there)
    found = await queue_engine.queue.survey(["m"])
    waiting = {each.lane: each.waiting for each in found if each.priority is NORMAL}
    assert waiting == {Lane.OPEN: 1, Lane.FLOOD: 2}


async def test_a_requeued_delivery_stays_in_its_lane(queue_engine: QueueProcess) -> None:
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.FLOOD, 1, inbox)
    envelope = await submitted(queue_engine, lane=Lane.FLOOD)
    [delivery] = await inbox.count(1)
    await delivery.requeue()
    await inbox.count(2)
    assert inbox.ids == [envelope.id] * 2


async def test_a_parked_request_comes_back_to_its_lane_at_its_time(
    queue_engine: QueueProcess,
) -> None:
    inbox = Inbox()
    await queue_engine.queue.consume("m", NORMAL, Lane.FLOOD, 10, inbox)
    envelope = await submitted(queue_engine, lane=Lane.FLOOD)
    [first] = await inbox.count(1)
    copy = await parked(queue_engine, envelope, 0.6)
    await first.ack()
    assert not await queue_engine.queue.tiers_empty()
    await inbox.count(2)
    assert inbox.got[1].envelope == copy
    assert await queue_engine.queue.tiers_empty()


async def parked(engine: QueueProcess, envelope: Envelope, for_s: float) -> Any:
    """Park a waiting request as a pool does: the copy, then the record."""
    copy = envelope.next_generation(envelope.accepted_at + for_s)
    await engine.queue.publish_later(copy, for_s)
    assert await engine.store.park(copy, "rpm of tenant default")
    return copy


@pytest.mark.parametrize("delay_s", [130.0, 700.0, 4_000.0, 30_000.0])
async def test_a_long_wait_is_in_a_tier_too(queue_engine: QueueProcess, delay_s: float) -> None:
    """Else the keeper would take the message for lost."""
    assert await queue_engine.queue.tiers_empty()
    envelope = make_envelope(not_before=time.time() + delay_s, deadline=time.time() + 90_000)
    assert await queue_engine.store.create(envelope)
    await queue_engine.queue.publish_later(envelope, delay_s)
    assert not await queue_engine.queue.tiers_empty()
