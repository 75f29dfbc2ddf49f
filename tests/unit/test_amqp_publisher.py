"""What the publisher makes of RabbitMQ's refusals: a channel that nacks is never used again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from broker.amqp import publisher as publisher_module
from broker.amqp.confirms import Outcome, Sent
from broker.amqp.counters import Counters
from broker.amqp.declare import Declarer
from broker.amqp.publisher import Outgoing, Publisher
from broker.amqp.wire import Wire
from broker.topology import Topology
from schemas.errors import QueueUnavailable
from schemas.priority import Priority

QUEUE = Topology("ns").work_queue("m", Priority.NORMAL)
MESSAGE = Outgoing(QUEUE.exchange, QUEUE, b"body", "req")


class FakeChannel:
    """Both halves of a channel in one: gives each publish the same outcome, or none for now."""

    def __init__(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.closed = False
        self.reason = "on purpose"
        self.wire = Wire()
        self.sent: list[Sent] = []

    def publish(self, *message: object) -> Sent:
        assert message == (QUEUE.exchange, QUEUE.routing_key, "req", b"body")
        sent = Sent()
        if self.outcome is not None:
            sent.settle(self.outcome)
        self.sent.append(sent)
        return sent

    async def close(self, _error: object = None) -> None:
        self.closed = True


class FakeLink:
    """Link and session in one: hands out the given channels, one after the other."""

    trouble = None

    def __init__(self, *channels: FakeChannel) -> None:
        self._channels = list(channels)
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def session(self) -> FakeLink:
        return self

    async def open_hot(self, *, confirms: bool) -> tuple[FakeChannel, FakeChannel]:
        assert confirms
        channel = self._channels.pop(0)
        return channel, channel


def make(*channels: FakeChannel) -> Publisher:
    link: Any = FakeLink(*channels)
    return Publisher(link, Declarer(Topology("ns")), Counters())


async def until_sent(channel: FakeChannel, count: int = 1) -> None:
    """Let the loop turn until `channel` got `count` publishes."""
    async with asyncio.timeout(5):
        while len(channel.sent) < count:  # noqa: ASYNC110  because nobody signals it
            await asyncio.sleep(0)


async def test_a_nack_costs_the_channel_and_the_next_one_confirms() -> None:
    bad, good = FakeChannel(Outcome.NACKED), FakeChannel(Outcome.CONFIRMED)
    publisher = make(bad, good)
    await publisher.publish(MESSAGE)
    await asyncio.sleep(0)
    assert bad.closed
    assert not good.closed
    await publisher.publish(MESSAGE)
    assert len(good.sent) == 2
    await publisher.stop()


async def test_nacks_without_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_NACK_PAUSES_S", (0.0, 0.0))
    publisher = make(*(FakeChannel(Outcome.NACKED) for _ in range(3)))
    with pytest.raises(QueueUnavailable, match="refuses"):
        await publisher.publish(MESSAGE)
    await publisher.stop()


async def test_a_retired_channel_waits_for_its_last_publish() -> None:
    shared, fresh = FakeChannel(None), FakeChannel(Outcome.CONFIRMED)
    publisher = make(shared, fresh)
    first = asyncio.create_task(publisher.publish(MESSAGE))
    nacked = asyncio.create_task(publisher.publish(MESSAGE))
    await until_sent(shared, 2)
    shared.sent[1].settle(Outcome.NACKED)
    await nacked
    assert len(fresh.sent) == 1
    closed_early = shared.closed
    shared.sent[0].settle(Outcome.CONFIRMED)
    await first
    await asyncio.sleep(0)
    assert (closed_early, shared.closed) == (False, True)
    await publisher.stop()


async def test_a_channel_closed_before_the_publish_is_replaced() -> None:
    first, second = FakeChannel(Outcome.CONFIRMED), FakeChannel(Outcome.CONFIRMED)
    publisher = make(first, second)
    await publisher.publish(MESSAGE)
    first.closed = True
    await publisher.publish(MESSAGE)
    assert (len(first.sent), len(second.sent)) == (1, 1)
    await publisher.stop()


async def test_a_channel_closed_while_waiting_for_room_is_replaced() -> None:
    crowded, good = FakeChannel(None), FakeChannel(Outcome.CONFIRMED)
    publisher = make(crowded, good)
    crowded.wire.pause()
    publish = asyncio.create_task(publisher.publish(MESSAGE))
    for _ in range(5):
        await asyncio.sleep(0)
    sent_early = len(crowded.sent)
    crowded.closed = True
    crowded.wire.resume()
    await publish
    assert (sent_early, len(crowded.sent), len(good.sent)) == (0, 0, 1)
    await publisher.stop()


async def test_a_lost_channel_is_an_unknown_outcome() -> None:
    publisher = make(FakeChannel(Outcome.LOST))
    with pytest.raises(QueueUnavailable, match="did not confirm: on purpose"):
        await publisher.publish(MESSAGE)
    await publisher.stop()


@pytest.mark.parametrize("outcome", [Outcome.CONFIRMED, Outcome.NACKED])
async def test_a_cancelled_caller_leaves_its_publish_to_end(outcome: Outcome) -> None:
    first, second = FakeChannel(None), FakeChannel(Outcome.CONFIRMED)
    publisher = make(first, second)
    await publisher._usable()
    publish = asyncio.create_task(publisher.publish(MESSAGE))
    await until_sent(first)
    publish.cancel()
    with suppress(asyncio.CancelledError):
        await publish
    first.sent[0].settle(outcome)
    await publisher.stop()
    assert publisher._counters.confirmed == 1
    assert len(second.sent) == (outcome is Outcome.NACKED)


async def test_stop_waits_for_a_publish_that_is_on_its_way() -> None:
    channel = FakeChannel(None)
    publisher = make(channel)
    await publisher._usable()
    publish = asyncio.create_task(publisher.publish(MESSAGE))
    await until_sent(channel)
    stop = asyncio.create_task(publisher.stop())
    await asyncio.sleep(0)
    assert not stop.done()
    channel.sent[0].settle(Outcome.CONFIRMED)
    await asyncio.gather(publish, stop)


async def test_no_confirm_in_time_is_an_unknown_outcome_and_a_new_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_module, "PUBLISH_LIMIT_S", 0.05)
    silent, good = FakeChannel(None), FakeChannel(Outcome.CONFIRMED)
    publisher = make(silent, good)
    with pytest.raises(QueueUnavailable, match="confirmed nothing"):
        await publisher.publish(MESSAGE)
    await publisher.publish(MESSAGE)
    assert len(good.sent) == 1
    await publisher.stop()


async def test_many_at_once_each_have_an_outcome_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_module, "MAX_MESSAGE_BYTES", 10)
    first, second = FakeChannel(None), FakeChannel(Outcome.CONFIRMED)
    publisher = make(first, second)
    await publisher._usable()
    too_large = Outgoing(QUEUE.exchange, QUEUE, b"x" * 11, "req")
    publishing = asyncio.create_task(publisher.publish_all([MESSAGE] * 3 + [too_large]))
    await until_sent(first, 3)
    first.sent[2].settle(Outcome.NACKED)
    first.sent[1].settle(Outcome.LOST)
    first.sent[0].settle(Outcome.CONFIRMED)
    told = await publishing
    assert told[0] is told[2] is None, "what a channel refuses goes by the next one"
    assert [str(each) for each in told if each] == [
        "RabbitMQ did not confirm: on purpose",
        "11 bytes are more than RabbitMQ takes.",
    ]
    assert len(second.sent) == 1
    await publisher.stop()
    assert publisher._counters.confirmed == 2


async def test_many_at_once_wait_for_room_and_for_a_channel() -> None:
    channel = FakeChannel(Outcome.CONFIRMED)
    publisher = make(channel)
    channel.wire.pause()
    publishing = asyncio.create_task(publisher.publish_all([MESSAGE] * 5))
    for _ in range(10):
        await asyncio.sleep(0)
    sent_early = len(channel.sent)
    channel.wire.resume()
    assert await publishing == [None] * 5
    assert (sent_early, len(channel.sent)) == (0, 5)
    await publisher.stop()


async def test_many_at_once_are_told_that_nothing_is_published_any_more() -> None:
    publisher = make(FakeChannel(Outcome.CONFIRMED))
    await publisher.stop()
    told = await publisher.publish_all([MESSAGE] * 2)
    assert [str(each) for each in told] == ["The queue is stopped."] * 2
