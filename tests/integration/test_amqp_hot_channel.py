"""Hot channels on a real RabbitMQ: what is published and delivered past aiormq."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import uvloop
from aio_pika.connection import make_url
from aiormq.abc import AbstractChannel, DeliveredMessage

from broker.amqp import frames
from broker.amqp.confirms import Outcome
from broker.amqp.hot_channel import HotChannel
from broker.amqp.session import Session

pytestmark = pytest.mark.realservers

CONTENT = 131_072 - 8
SIZES = (0, 1, CONTENT - 1, CONTENT, CONTENT + 1, 2 * CONTENT, 1_000_000, 5_000_000)


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Session]:
    """A connection of its own."""
    opened = await Session.open(make_url(url))
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def queue(channel: AbstractChannel, **arguments: str | int) -> AsyncIterator[str]:
    """A queue that goes with its connection."""
    name = f"hot-{uuid4().hex[:8]}"
    await channel.queue_declare(name, exclusive=True, arguments=dict(arguments))
    yield name


async def outcome(channel: HotChannel, key: str, body: bytes = b"body") -> Outcome | None:
    """Publish one message through the default exchange and wait for its outcome."""
    return await channel.publish("", key, "req", body).within(
        asyncio.get_running_loop().time() + 20
    )


class Deliveries:
    """Collects what is delivered on a hot channel."""

    def __init__(self, hot: HotChannel) -> None:
        self.got: list[tuple[int, bool, bytes, bytes, bytes]] = []
        self._news = asyncio.Event()
        hot.deliver = self._take

    def _take(self, *message: object) -> None:
        self.got.append(message)  # type: ignore[arg-type]  # because it is a Deliver
        self._news.set()

    async def count(self, wanted: int) -> None:
        async with asyncio.timeout(20):
            while len(self.got) < wanted:
                self._news.clear()
                await self._news.wait()


async def never(_message: DeliveredMessage) -> None:
    raise AssertionError("aiormq was given a delivery")


async def bodies_there_and_back(url: str) -> list[bool]:
    """Send a body of each size through a queue; tell for each whether it came back the same."""
    async with session(url) as one:
        rpc, out = await one.open_hot(confirms=True)
        async with queue(rpc) as name:
            bodies = [bytes([number]) * size for number, size in enumerate(SIZES)]
            outcomes = await asyncio.gather(*(outcome(out, name, body) for body in bodies))
            consuming, hot = await one.open_hot()
            deliveries = Deliveries(hot)
            await consuming.basic_consume(name, never)
            await deliveries.count(len(bodies))
            for tag, *_ in deliveries.got:
                hot.settle(frames.ack, tag)
            state = await consuming.queue_declare(name, passive=True)
    came = {body for *_, body in deliveries.got}
    confirmed = [each is Outcome.CONFIRMED for each in outcomes]
    return [*confirmed, *(body in came for body in bodies), state.message_count == 0]


async def test_a_body_of_any_size_comes_back_as_it_was(amqp_url: str) -> None:
    assert all(await bodies_there_and_back(amqp_url))


def test_a_body_of_any_size_comes_back_under_uvloop_too(amqp_url: str) -> None:
    assert all(uvloop.run(bodies_there_and_back(amqp_url)))


async def test_of_many_publishes_only_those_to_nowhere_are_returned(amqp_url: str) -> None:
    async with session(amqp_url) as one:
        rpc, hot = await one.open_hot(confirms=True)
        async with queue(rpc) as name:
            keys = [name if number % 3 else "nowhere" for number in range(60)]
            outcomes = await asyncio.gather(*(outcome(hot, key) for key in keys))
    expected = [Outcome.CONFIRMED if key == name else Outcome.RETURNED for key in keys]
    assert outcomes == expected


async def test_a_full_queue_nacks_what_is_too_much(amqp_url: str) -> None:
    async with session(amqp_url) as one:
        rpc, hot = await one.open_hot(confirms=True)
        full: dict[str, str | int] = {"x-max-length": 5, "x-overflow": "reject-publish"}
        async with queue(rpc, **full) as name:
            outcomes = await asyncio.gather(*(outcome(hot, name) for _ in range(10)))
    assert Counter(outcomes) == {Outcome.CONFIRMED: 5, Outcome.NACKED: 5}


async def test_a_missing_exchange_ends_the_channel_and_not_the_connection(amqp_url: str) -> None:
    async with session(amqp_url) as one:
        _, hot = await one.open_hot(confirms=True)
        sent = hot.publish("no such exchange", "k", "req", b"body")
        until = asyncio.get_running_loop().time() + 20
        assert await sent.within(until) is Outcome.NO_EXCHANGE
        assert (hot.closed, "no such exchange" in hot.reason) == (True, True)
        rpc, again = await one.open_hot(confirms=True)
        async with queue(rpc) as name:
            assert await outcome(again, name) is Outcome.CONFIRMED


@pytest.mark.parametrize("closed_by", ["us", "the server"])
async def test_a_late_verdict_costs_nobody_anything(amqp_url: str, closed_by: str) -> None:
    async with session(amqp_url) as one:
        rpc, hot = await one.open_hot(confirms=True)
        async with queue(rpc) as name:
            closing, late = await one.open_hot()
            ways: dict[str, Callable[[], Awaitable[None]]] = {
                "us": closing.close,
                "the server": lambda: closing.basic_ack(4711),
            }
            end = asyncio.ensure_future(ways[closed_by]())
            while not late.closed:  # noqa: ASYNC110  because each turn sends a verdict
                await asyncio.sleep(0)
            for tag in range(100):
                late.settle(frames.ack, tag)
            await end
            assert await outcome(hot, name) is Outcome.CONFIRMED


async def test_other_calls_are_answered_amid_hot_traffic(amqp_url: str) -> None:
    async with session(amqp_url) as one:
        rpc, hot = await one.open_hot(confirms=True)
        async with queue(rpc) as name:
            flood = asyncio.gather(*(outcome(hot, name, b"x" * 2000) for _ in range(3000)))
            counts = [
                (await rpc.queue_declare(name, passive=True)).message_count for _ in range(10)
            ]
            assert set(await flood) == {Outcome.CONFIRMED}
            last = await rpc.queue_declare(name, passive=True)
    assert all(count is not None for count in counts)
    assert last.message_count == 3000


async def test_a_lost_connection_ends_what_is_unanswered(amqp_url: str) -> None:
    async with session(amqp_url) as one:
        rpc, hot = await one.open_hot(confirms=True)
        async with queue(rpc) as name:
            sent = [hot.publish("", name, "req", b"body") for _ in range(10)]
            one._connection.sockets.abort()
            until = asyncio.get_running_loop().time() + 20
            outcomes = {await each.within(until) for each in sent}
    assert outcomes == {Outcome.LOST}
    assert hot.closed
