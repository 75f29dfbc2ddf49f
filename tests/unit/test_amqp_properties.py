"""Our reading of a message's properties against pamqp's, and of what no client should send."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import cast

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from broker.amqp import frames
from broker.amqp.counters import Counters
from broker.amqp.dead_letters import DeadLetterReader
from broker.amqp.properties import BadProperties, Properties, read
from broker.amqp.subscription import Incoming, Receipt
from broker.lifecycle import Tasks
from broker.ports import DeadLetter

TEXT = st.none() | st.text(st.characters(codec="utf-8"), max_size=40).filter(bool)
NAMES = st.text("abcdefgh.-_:", max_size=40)
HEADERS = st.dictionaries(NAMES.filter(bool), st.text(max_size=20) | st.integers(0, 2**40))


def header_of(properties: Basic.Properties) -> bytes:
    """Return the payload of a content header."""
    return ContentHeader(body_size=3, properties=properties).marshal()


@given(TEXT, TEXT, TEXT, TEXT, TEXT, HEADERS)
def test_every_property_is_read_as_pamqp_wrote_it(
    correlation_id: str | None,
    reply_to: str | None,
    message_id: str | None,
    user_id: str | None,
    kind: str | None,
    headers: dict[str, str | int],
) -> None:
    properties = Basic.Properties(
        content_type="application/json",
        headers={**headers} or None,
        delivery_mode=2,
        priority=3,
        correlation_id=correlation_id,
        reply_to=reply_to,
        expiration="5000",
        message_id=message_id,
        timestamp=datetime.now(UTC),
        message_type=kind,
        user_id=user_id,
        app_id="app",
    )
    assert read(header_of(properties)) == Properties(
        content_type="application/json",
        headers=headers or None,
        correlation_id=correlation_id,
        reply_to=reply_to,
        expiration="5000",
        message_id=message_id,
        kind=kind,
        user_id=user_id,
        app_id="app",
    )


@given(st.binary(max_size=60))
def test_junk_is_refused_and_nothing_else(junk: bytes) -> None:
    with contextlib.suppress(BadProperties):
        read(bytes(12) + junk)


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_header_that_is_cut_short_is_refused(cut: int) -> None:
    whole = header_of(Basic.Properties(content_type="application/json", headers={"a": "b" * 20}))
    with pytest.raises(BadProperties):
        read(whole[:-cut])


def endless(kind: bytes) -> bytes:
    """Return a content header whose table holds tables, or arrays, one in the other."""
    inner = b""
    for _ in range(10_000):
        value = kind + len(inner).to_bytes(4, "big") + inner
        inner = b"\x01a" + value if kind == b"F" else value
    table = inner if kind == b"F" else b"\x01a" + inner
    return bytes(12) + (1 << 13).to_bytes(2, "big") + len(table).to_bytes(4, "big") + table


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_headers_that_are_nested_without_end_are_refused(kind: bytes) -> None:
    with pytest.raises(BadProperties, match="too deeply"):
        read(endless(kind))


async def test_a_letter_whose_headers_cannot_be_read_is_filed() -> None:
    tasks, filed = Tasks("letters"), list[bytes]()

    class _Receipt:
        live, acked = True, False

        def ack(self) -> None:
            self.acked = True

    async def receive(letter: DeadLetter) -> None:
        filed.append(letter.body)

    receipt = _Receipt()
    reader = DeadLetterReader(receive, tasks, Counters())
    reader(Incoming(b"body", endless(b"F"), cast("Receipt", receipt)))
    await tasks.join()
    assert (filed, receipt.acked) == ([b"body"], True)


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    whole = header_of(Basic.Properties(correlation_id="abc"))
    with pytest.raises(BadProperties):
        read(whole.replace(b"abc", b"a\xffc"))


@given(TEXT, st.dictionaries(NAMES, st.text(max_size=20) | st.integers(-(2**40), 2**40)))
def test_a_reply_is_what_pamqp_reads(
    correlation_id: str | None, headers: dict[str, str | int]
) -> None:
    properties = frames.reply_properties(
        "application/json", headers, correlation_id, "id-7", "request.completed"
    )
    data = frames.publish(1, frames.route("", "q", mandatory=False), properties, b"body", 0)
    size, _, publish = pamqp.frame.unmarshal(data)
    assert isinstance(publish, Basic.Publish)
    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("", "q", False)
    _, _, header = pamqp.frame.unmarshal(data[size:])
    assert isinstance(header, ContentHeader)
    told = header.properties
    assert (told.content_type, told.delivery_mode, told.message_id) == (
        "application/json",
        2,
        "id-7",
    )
    assert (told.message_type, told.correlation_id) == ("request.completed", correlation_id)
    assert (told.headers or {}) == headers


def test_the_routing_key_of_a_deliver_is_read() -> None:
    deliver = Basic.Deliver("a tag", 2**40, True, "an exchange", "echo.high")
    payload = pamqp.frame.marshal(deliver, 1)[frames.HEAD_BYTES : -1]
    assert frames.routing_key(payload) == "echo.high"
