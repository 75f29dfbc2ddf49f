"""Coming back: requeued, retried, parked, republished, and after the end of a process."""

from __future__ import annotations

import asyncio
import time

from broker.claims import Done, Run
from broker.ports import Delivery
from schemas.envelope import Envelope
from schemas.priority import Lane, Priority
from tests.conformance.stages import QueueProcess, QueueStage
from tests.conformance.steps import eventually, submitted
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_result, make_slot

NORMAL = Priority.NORMAL
_QUIET_S = 0.4


async def consuming(engine: QueueProcess, prefetch: int = 5) -> Inbox:
    inbox = Inbox()
    await engine.queue.consume("m", NORMAL, Lane.OPEN, prefetch, inbox)
    return inbox


async def retried(engine: QueueProcess, delivery: Delivery, delay_s: float) -> Envelope:
    """Retry as the settlement does: the copy first, then the record, then the ack."""
    copy = delivery.envelope.next_generation(not_before=time.time() + delay_s)
    await engine.queue.publish_later(copy, delay_s)
    assert await engine.store.requeue(copy, 1)
    await delivery.ack()
    return copy


async def test_a_requeued_delivery_comes_again(queue_engine: QueueProcess) -> None:
    envelope = await submitted(queue_engine)
    inbox = await consuming(queue_engine)
    [first] = await inbox.count(1)
    await first.requeue()
    await inbox.count(2)
    assert inbox.ids == [envelope.id] * 2
    assert isinstance(await queue_engine.store.claim(envelope, make_slot()), Run)


async def test_settling_twice_is_settling_once(queue_engine: QueueProcess) -> None:
    await submitted(queue_engine)
    inbox = await consuming(queue_engine)
    [first] = await inbox.count(1)
    await first.requeue()
    await first.requeue()
    await first.ack()
    await inbox.count(2)
    await asyncio.sleep(_QUIET_S)
    assert len(inbox.got) == 2


async def test_a_drained_run_comes_again(queue_engine: QueueProcess) -> None:
    envelope = await submitted(queue_engine)
    inbox = await consuming(queue_engine)
    [first] = await inbox.count(1)
    assert await queue_engine.store.claim(envelope, make_slot()) == Run(1, 0)
    assert await queue_engine.store.requeue(envelope, 1)
    await first.requeue()
    await inbox.count(2)
    assert await queue_engine.store.claim(inbox.got[1].envelope, make_slot()) == Run(2, 0)


async def test_a_retry_comes_at_its_time_and_not_before(queue_engine: QueueProcess) -> None:
    envelope = await submitted(queue_engine)
    inbox = await consuming(queue_engine)
    [first] = await inbox.count(1)
    assert await queue_engine.store.claim(envelope, make_slot()) == Run(1, 0)
    began = time.monotonic()
    copy = await retried(queue_engine, first, 1.0)
    await inbox.count(2)
    assert 0.8 < time.monotonic() - began < 10
    assert inbox.got[1].envelope.generation == copy.generation == 1
    assert await queue_engine.store.claim(inbox.got[1].envelope, make_slot()) == Run(2, 0)


async def test_a_retry_runs_although_the_old_delivery_is_not_settled_yet(
    queue_engine: QueueProcess,
) -> None:
    envelope = await submitted(queue_engine)
    inbox = await consuming(queue_engine)
    await inbox.count(1)
    assert await queue_engine.store.claim(envelope, make_slot()) == Run(1, 0)
    copy = envelope.next_generation(not_before=time.time())
    await queue_engine.queue.publish_later(copy, 0.0)
    assert await queue_engine.store.requeue(copy, 1)
    await inbox.count(2)
    assert [each.envelope.generation for each in inbox.got] == [0, 1]
    assert await queue_engine.store.claim(inbox.got[0].envelope, make_slot()) == Done()


async def test_parked_messages_are_in_no_tier_at_last(queue_engine: QueueProcess) -> None:
    assert await queue_engine.queue.tiers_empty()
    envelope = make_envelope(not_before=time.time() + 1.0)
    assert await queue_engine.store.create(envelope)
    await queue_engine.queue.publish_later(envelope, 1.0)

    async def parked() -> bool:
        return not await queue_engine.queue.tiers_empty()

    await eventually(parked, every_s=0.01)
    inbox = await consuming(queue_engine)
    await inbox.count(1)
    assert inbox.ids == [envelope.id]

    async def empty() -> bool:
        return await queue_engine.queue.tiers_empty()

    await eventually(empty)


async def test_the_same_copy_put_back_by_a_confirmed_publish_comes_again(
    queue_engine: QueueProcess,
) -> None:
    envelope = await submitted(queue_engine)
    inbox = await consuming(queue_engine)
    [first] = await inbox.count(1)
    await queue_engine.queue.publish_later(envelope.met_live_owner(), 1.0)
    await first.ack()
    await inbox.count(2)
    assert inbox.ids == [envelope.id] * 2


async def test_what_was_not_acked_comes_back_when_the_process_ends(
    queue_stage: QueueStage,
) -> None:
    async with queue_stage.open() as engine:
        waiting, runs, done = [await submitted(engine) for _ in range(3)]
        inbox = await consuming(engine)
        await inbox.count(3)
        assert await engine.store.claim(runs, make_slot()) == Run(1, 0)
        assert await engine.store.claim(done, make_slot()) == Run(1, 0)
        await engine.store.finish(done, make_result(), 1)
        await inbox.got[2].ack()
        old_owner = engine.owner
    async with queue_stage.open() as engine:
        inbox = await consuming(engine)
        await inbox.count(2)
        assert sorted(inbox.ids) == sorted([waiting.id, runs.id])
        assert await engine.store.claim(waiting, make_slot()) == Run(1, 0)
        assert await engine.store.take_over(runs, old_owner, make_slot()) == Run(2, 0)
        await asyncio.sleep(_QUIET_S)
        assert len(inbox.got) == 2
