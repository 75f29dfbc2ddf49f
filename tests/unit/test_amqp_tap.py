"""The tap sorts a connection's bytes: hot frames of claimed channels to us, the rest to aiormq."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Connection, Queue
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from broker.amqp import frames
from broker.amqp.confirms import Outcome
from broker.amqp.hot_channel import HotChannel
from broker.amqp.tap import Tap

HOT, COLD = 1, 2
FRAME_MAX = 60
PROPERTIES = Basic.Properties(
    content_type="application/msgpack", headers={"a": [1, {"b": "c"}]}, message_id="m"
)


class FakeTransport(asyncio.Transport):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return False


@dataclass
class Rig:
    """A tap with one claimed channel, and what came out at both sides."""

    reader: asyncio.StreamReader = field(default_factory=asyncio.StreamReader)
    transport: FakeTransport = field(default_factory=FakeTransport)
    got: list[tuple[int, bool, bytes, bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tap = Tap(self.reader)
        self.tap.connection_made(self.transport)
        self.hot = self.claim(HOT)

    def claim(self, number: int) -> HotChannel:
        channel = self.tap.claim(number, FRAME_MAX)
        channel.deliver = lambda *message: self.got.append(message)
        return channel

    def receive(self, *received: Any, on: int = HOT) -> None:
        """Let the server send these frames."""
        self.tap.data_received(b"".join(pamqp.frame.marshal(each, on) for each in received))

    async def passed_on(self) -> bytes:
        """Return what aiormq can read, without the signs of life."""
        self.reader.feed_eof()
        return (await self.reader.read()).replace(frames.HEARTBEAT, b"")

    def aiormq_writes(self, data: bytes) -> None:
        """Write as aiormq's writer does."""
        self.tap.outgoing(data)
        self.transport.write(data)


def deliver(tag: int) -> Basic.Deliver:
    """Return the first frame of a delivery."""
    return Basic.Deliver("ctag", tag, False, "x", "k")


def content(method: Any, body: bytes, piece: int) -> list[Any]:
    """Return the frames of one message."""
    pieces = [ContentBody(body[at : at + piece]) for at in range(0, len(body), piece)]
    return [method, ContentHeader(body_size=len(body), properties=PROPERTIES), *pieces]


METHOD_OF_DELIVER = frames.METHOD_NUMBER.pack(frames.DELIVER)
BODIES = st.binary(max_size=90)
COLD_FRAMES = st.sampled_from(
    [
        (0, Heartbeat()),
        (0, Connection.Blocked("memory")),
        (HOT, Basic.ConsumeOk("ctag")),
        (HOT, Basic.Cancel("ctag")),
        (HOT, Queue.DeclareOk("q", 1, 1)),
        (COLD, Basic.Ack(3)),
        (COLD, Channel.Close(404, "no", 0, 0)),
    ]
)
STEPS = st.lists(
    st.one_of(
        COLD_FRAMES,
        st.tuples(st.just(HOT), st.integers(1, 2**40), st.booleans(), BODIES, st.integers(1, 40)),
        st.tuples(st.just(COLD), BODIES, st.integers(1, 40)),
        st.sampled_from([(HOT, Basic.Ack(7)), (HOT, Basic.Nack(8, multiple=True))]),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(STEPS, st.lists(st.integers(1, 70), min_size=1, max_size=20))
def test_any_stream_cut_anywhere_is_sorted_as_pamqp_reads_it(
    steps: list[Any], cuts: list[int]
) -> None:
    stream, cold, messages = b"", b"", []
    for number, *step in steps:
        match step:
            case [tag, redelivered, body, piece]:
                method = Basic.Deliver("ctag", tag, redelivered, "x", "k")
                parts = content(method, body, piece)
                messages.append(
                    (
                        tag,
                        redelivered,
                        METHOD_OF_DELIVER + method.marshal(),
                        parts[1].marshal(),
                        body,
                    )
                )
            case [body, piece]:
                parts = content(deliver(1), body, piece)
            case _:
                parts = step
        data = b"".join(pamqp.frame.marshal(part, number) for part in parts)
        stream += data
        hot = number == HOT and isinstance(parts[0], Basic.Deliver | Basic.Ack | Basic.Nack)
        cold += b"" if hot else data

    async def sort() -> None:
        rig = Rig()
        rest, turn = stream, 0
        while rest:
            cut = cuts[turn % len(cuts)]
            rig.tap.data_received(rest[:cut])
            rest, turn = rest[cut:], turn + 1
        assert rig.got == messages
        assert await rig.passed_on() == cold.replace(frames.HEARTBEAT, b"")

    asyncio.run(sort())


async def test_hot_traffic_gives_aiormq_a_sign_of_life() -> None:
    rig = Rig()
    for tag in range(3):
        rig.receive(*content(deliver(tag), b"body", 10))
    rig.reader.feed_eof()
    assert await rig.reader.read() == frames.HEARTBEAT


async def test_what_is_no_frame_goes_to_aiormq_as_it_is() -> None:
    rig = Rig()
    rig.tap.data_received(b"AMQP\x00\x00\x09\x01")
    rig.tap.data_received(b"more")
    assert await rig.passed_on() == b"AMQP\x00\x00\x09\x01more"


async def test_the_writes_of_one_turn_go_out_as_one_before_those_of_aiormq() -> None:
    rig = Rig()
    rig.hot.settle(frames.ack, 1)
    rig.hot.settle(frames.requeue, 2)
    assert not rig.transport.writes
    await asyncio.sleep(0)
    rig.hot.settle(frames.ack, 3)
    rig.aiormq_writes(frames.HEARTBEAT)
    assert rig.transport.writes == [
        frames.ack(HOT, 1) + frames.requeue(HOT, 2),
        frames.ack(HOT, 3),
        frames.HEARTBEAT,
    ]


@pytest.mark.parametrize(
    ("number", "frame"),
    [
        (HOT, Channel.Close(0, "", 0, 0)),
        (HOT, Channel.CloseOk()),
        (0, Connection.Close(0, "", 0, 0)),
    ],
)
async def test_nothing_follows_a_close_of_ours(number: int, frame: Any) -> None:
    rig = Rig()
    sent = rig.hot.publish("x", "k", "req", b"body")
    rig.aiormq_writes(pamqp.frame.marshal(frame, number))
    before = list(rig.transport.writes)
    rig.hot.settle(frames.ack, 1)
    rig.receive(*content(deliver(1), b"late", 10))
    await asyncio.sleep(0)
    assert (rig.transport.writes, rig.got) == (before, [])
    assert (len(before), sent.outcome) == (2, Outcome.LOST)


async def test_a_close_of_another_channel_closes_only_that_one() -> None:
    rig = Rig()
    rig.claim(COLD)
    rig.aiormq_writes(pamqp.frame.marshal(Channel.Close(0, "", 0, 0), COLD))
    rig.receive(Channel.CloseOk(), on=COLD)
    assert not rig.hot.closed


@pytest.mark.parametrize(("code", "outcome"), [(404, Outcome.NO_EXCHANGE), (406, Outcome.LOST)])
async def test_a_close_by_the_server_ends_all_at_once(code: int, outcome: Outcome) -> None:
    rig = Rig()
    told: list[str] = []
    rig.hot.on_closed = told.append
    sent = rig.hot.publish("x", "k", "req", b"body")
    close = pamqp.frame.marshal(Channel.Close(code, "NO", 0, 0), HOT)
    rig.tap.data_received(close)
    rig.hot.settle(frames.ack, 1)
    await asyncio.sleep(0)
    assert (sent.outcome, told, rig.hot.closed) == (outcome, [f"{code} NO"], True)
    assert len(rig.transport.writes) == 1
    assert await rig.passed_on() == close


async def test_a_number_used_again_is_a_new_channel() -> None:
    rig = Rig()
    rig.receive(Channel.Close(406, "NO", 0, 0))
    again = rig.claim(HOT)
    rig.receive(*content(deliver(1), b"body", 10))
    assert (again.closed, [body for *_, body in rig.got]) == (False, [b"body"])


async def test_a_return_is_matched_by_its_own_message_id_and_its_ack_ignored() -> None:
    rig = Rig()
    good, bad = (rig.hot.publish("x", "k", "req", b"body") for _ in range(2))
    await asyncio.sleep(0)
    written = rig.transport.writes[0]
    headers = [written[a:b] for kind, _, a, b in frames.split(written) if kind == frames.HEADER]
    returned = ContentHeader(body_size=4, properties=frames.read_properties(headers[1]))
    rig.receive(Basic.Return(312, "NO_ROUTE", "x", "k"), returned, ContentBody(b"body"))
    rig.receive(*content(Basic.Return(312, "NO_ROUTE", "x", "k"), b"foreign", 10))
    rig.receive(Basic.Ack(2, multiple=True))
    assert (good.outcome, bad.outcome) == (Outcome.CONFIRMED, Outcome.RETURNED)


async def test_a_lost_connection_ends_all_and_frees_who_waits_for_room() -> None:
    rig = Rig()
    rig.tap.pause_writing()
    assert rig.tap.wire.crowded
    waiting = [asyncio.create_task(rig.tap.wire.room()) for _ in range(2)]
    await asyncio.sleep(0)
    sent = rig.hot.publish("x", "k", "req", b"body")
    rig.tap.connection_lost(None)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert (rig.hot.closed, sent.outcome) == (True, Outcome.LOST)
    assert rig.claim(COLD).closed


async def test_room_is_given_to_one_after_the_other() -> None:
    rig = Rig()
    rig.tap.pause_writing()
    order: list[int] = []

    async def take(number: int) -> None:
        await rig.tap.wire.room()
        order.append(number)
        rig.tap.pause_writing()

    takers = [asyncio.create_task(take(number)) for number in range(3)]
    for taken in range(4):
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == list(range(taken))
        rig.tap.resume_writing()
    await asyncio.gather(*takers)


async def test_more_than_one_write_should_hold_goes_out_at_once() -> None:
    rig = Rig()
    rig.hot.publish("x", "k", "req", b"x" * 100_000)
    assert len(rig.transport.writes) == 1
