"""What the publisher makes of RabbitMQ's refusals: a channel that nacks is never used again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiormq import spec
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError, DeliveryError

from broker.amqp import publisher as publisher_module
from broker.amqp.counters import Counters
from broker.amqp.declare import Declarer
from broker.amqp.publisher import Outgoing, Publisher
from broker.topology import Topology
from schemas.errors import QueueUnavailable
from schemas.priority import Priority

QUEUE = Topology("ns").work_queue("m", Priority.NORMAL)
MESSAGE = Outgoing(QUEUE.exchange, QUEUE, b"body", "req")


class FakeChannel:
    """Answers each publish with what `answer` raises, or confirms."""

    def __init__(self, answer: BaseException | None, slow: asyncio.Event | None = None) -> None:
        self._answer = answer
        self._slow = slow
        self.is_closed = False
        self.ids: list[str] = []
        self.called = asyncio.Event()

    async def basic_publish(self, _body: bytes, **options: Any) -> None:
        assert options["mandatory"]
        assert options["properties"].delivery_mode == 2
        assert options["properties"].priority is None
        self.ids.append(options["properties"].message_id)
        self.called.set()
        if self._slow is not None:
            await self._slow.wait()
        if self._answer is not None:
            raise self._answer

    async def close(self, _error: object = None) -> None:
        self.is_closed = True


class FakeLink:
    """Link and session in one: hands out the given channels, one after the other."""

    trouble = None

    def __init__(self, *channels: FakeChannel) -> None:
        self._channels = list(channels)
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def session(self) -> FakeLink:
        return self

    async def open_channel(self, *, confirms: bool) -> FakeChannel:
        assert confirms
        return self._channels.pop(0)


def make(*channels: FakeChannel) -> Publisher:
    link: Any = FakeLink(*channels)
    return Publisher(link, Declarer(Topology("ns")), Counters())


def nack() -> DeliveryError:
    return DeliveryError(None, spec.Basic.Nack(delivery_tag=1))


async def test_a_nack_costs_the_channel_and_the_next_one_confirms() -> None:
    bad, good = FakeChannel(nack()), FakeChannel(None)
    publisher = make(bad, good)
    await publisher.publish(MESSAGE)
    await asyncio.sleep(0)
    assert bad.is_closed
    assert not good.is_closed
    assert bad.ids != good.ids
    await publisher.publish(MESSAGE)
    assert len(good.ids) == 2
    await publisher.stop()


async def test_nacks_without_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_NACK_PAUSES_S", (0.0, 0.0))
    publisher = make(*(FakeChannel(nack()) for _ in range(3)))
    with pytest.raises(QueueUnavailable, match="refuses"):
        await publisher.publish(MESSAGE)
    await publisher.stop()


async def test_a_retired_channel_waits_for_its_last_publish() -> None:
    slow = asyncio.Event()
    shared, fresh = FakeChannel(None, slow), FakeChannel(None)
    publisher = make(shared, fresh)
    first = asyncio.create_task(publisher.publish(MESSAGE))
    await shared.called.wait()
    assert publisher._shared is not None
    publisher._retire(publisher._shared)
    await publisher.publish(MESSAGE)
    assert len(fresh.ids) == 1
    closed_early = shared.is_closed
    slow.set()
    await first
    await asyncio.sleep(0)
    assert (closed_early, shared.is_closed) == (False, True)
    await publisher.stop()


async def test_a_channel_closed_before_the_publish_is_replaced() -> None:
    closed, good = FakeChannel(ChannelInvalidStateError("closed")), FakeChannel(None)
    publisher = make(closed, good)
    await publisher.publish(MESSAGE)
    assert len(good.ids) == 1
    await publisher.stop()


@pytest.mark.parametrize("error", [AMQPConnectionError("reset"), asyncio.CancelledError()])
async def test_a_lost_connection_is_an_unknown_outcome(error: BaseException) -> None:
    publisher = make(FakeChannel(error))
    with pytest.raises(QueueUnavailable):
        await publisher.publish(MESSAGE)
    await publisher.stop()


async def test_no_confirm_in_time_is_an_unknown_outcome_and_a_new_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_module, "PUBLISH_LIMIT_S", 0.05)
    silent, good = FakeChannel(None, asyncio.Event()), FakeChannel(None)
    publisher = make(silent, good)
    with pytest.raises(QueueUnavailable, match="confirmed nothing"):
        await publisher.publish(MESSAGE)
    await publisher.publish(MESSAGE)
    assert len(good.ids) == 1
    await publisher.stop()
