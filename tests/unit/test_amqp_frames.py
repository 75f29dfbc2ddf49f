"""Our bytes of the hot frames against pamqp's reading of them, and the other way round."""

from __future__ import annotations

from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from broker.amqp import frames

CHANNELS = st.integers(1, 0xFFFF)
TAGS = st.integers(0, 2**63 - 1)
NAMES = st.text("abcdefgh.-_:", max_size=40)


def read(data: bytes) -> list[tuple[int, Any]]:
    """Return (channel, frame) of each frame in `data`, by pamqp."""
    found = []
    while data:
        size, channel, frame = pamqp.frame.unmarshal(data)
        found.append((channel, frame))
        data = data[size:]
    return found


@given(CHANNELS, TAGS)
def test_verdicts_are_what_pamqp_reads(channel: int, tag: int) -> None:
    verdicts = frames.ack, frames.requeue, frames.reject
    [ack, requeue, reject] = [read(verdict(channel, tag)) for verdict in verdicts]
    assert [each[0][0] for each in (ack, requeue, reject)] == [channel] * 3
    assert dict(ack[0][1]) == dict(Basic.Ack(tag, multiple=False))
    assert dict(requeue[0][1]) == dict(Basic.Nack(tag, multiple=False, requeue=True))
    assert dict(reject[0][1]) == dict(Basic.Reject(tag, requeue=False))


@given(CHANNELS, NAMES, NAMES, st.text(max_size=60), st.binary(max_size=200), st.integers(9, 80))
def test_a_publish_is_what_pamqp_reads(
    channel: int, exchange: str, key: str, request_id: str, body: bytes, frame_max: int
) -> None:
    properties = frames.properties("application/msgpack", request_id, "id-7")
    data = frames.publish(channel, frames.route(exchange, key), properties, body, frame_max)
    (on, publish), (_, header), *bodies = read(data)
    assert on == channel
    assert dict(publish) == dict(
        Basic.Publish(exchange=exchange, routing_key=key, mandatory=True, immediate=False)
    )
    assert isinstance(header, ContentHeader)
    assert header.body_size == len(body)
    assert dict(header.properties) == dict(
        Basic.Properties(
            content_type="application/msgpack",
            delivery_mode=2,
            correlation_id=request_id or None,
            message_id="id-7",
        )
    ) | {"correlation_id": request_id}
    assert b"".join(piece.value for _, piece in bodies) == body
    assert all(len(piece.value) <= frame_max - 8 for _, piece in bodies)
    assert len(bodies) == -(-len(body) // (frame_max - 8))


def test_no_limit_on_a_frame_is_one_body_frame() -> None:
    data = frames.publish(
        1, frames.route("", "q"), frames.properties("", "", ""), b"x" * 300_000, 0
    )
    assert [type(frame) for _, frame in read(data)] == [Basic.Publish, ContentHeader, ContentBody]


@given(TAGS, st.booleans(), NAMES, NAMES)
def test_a_deliver_of_pamqp_is_read(tag: int, redelivered: bool, consumer: str, name: str) -> None:
    data = pamqp.frame.marshal(Basic.Deliver(consumer, tag, redelivered, name, name), 3)
    [(kind, channel, start, end)] = frames.split(data)
    assert (kind, channel, end) == (frames.METHOD, 3, len(data) - 1)
    assert frames.delivery(data, start) == (tag, redelivered)


@given(TAGS, st.booleans())
def test_confirms_of_pamqp_are_read(tag: int, multiple: bool) -> None:
    for confirm in (Basic.Ack(tag, multiple), Basic.Nack(tag, multiple, requeue=True)):
        data = pamqp.frame.marshal(confirm, 3)
        [(_, _, start, _)] = frames.split(data)
        assert frames.confirm(data, start) == (tag, multiple)


def test_headers_are_read_when_asked_for() -> None:
    sent = Basic.Properties(headers={"x-death": [{"queue": "q", "count": 2}]}, message_id="m")
    header = ContentHeader(body_size=5, properties=sent).marshal()
    assert frames.body_size(header) == 5
    assert dict(frames.read_properties(header)) == dict(sent)


@pytest.mark.parametrize(
    "data", [b"AMQP\x00\x00\x09\x01", b"\x01\x00\x01\x00\x00\x00\x01xx", b"\x09" + bytes(20)]
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a frame"):
        list(frames.split(data))


def test_a_name_too_long_is_refused_before_it_costs_the_connection() -> None:
    with pytest.raises(ValueError, match="255"):
        frames.route("x", "k" * 256)
    with pytest.raises(ValueError, match="255"):
        frames.properties("t", "\u00e9" * 128, "m")
