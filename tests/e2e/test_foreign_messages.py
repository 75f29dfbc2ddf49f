"""What is not ours on a work queue is set aside, and the requests behind it are served."""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiormq
import msgpack
import pytest
import redis

from broker.redis_store.keys import Keys
from broker.topology import Topology
from schemas.codec import VERSION, decode, encode
from schemas.priority import Priority
from tests.contract.golden import GOLDEN, golden_envelope
from tests.e2e.door import Door, open_door
from tests.fakes.envelopes import make_envelope
from tests.fakes.stack import Setup

pytestmark = pytest.mark.realservers
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def door(amqp_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    setup = Setup(
        engine="real",
        workers=1,
        amqp_url=amqp_url,
        redis_url=redis_url,
        server={"namespace": f"t{secrets.token_hex(4)}"},
    )
    with open_door(tmp_path_factory.mktemp("foreign"), setup, ["echo"]) as opened:
        yield opened


def _framed(header: bytes, body: bytes = b"{}", version: int = VERSION) -> bytes:
    return struct.pack(">BI", version, len(header)) + header + body


def _nested(levels: int) -> bytes:
    return b"\x91" * levels + b"\xc0"


def _ours() -> bytes:
    return encode(make_envelope())


def _header(**changes: object) -> bytes:
    """Return a good message but for these members of its header."""
    whole = _ours()
    (length,) = struct.unpack(">I", whole[1:5])
    members = {**msgpack.unpackb(whole[5 : 5 + length]), **changes}
    return _framed(msgpack.packb(members))


FOREIGN = {
    "empty": b"",
    "one byte": bytes([VERSION]),
    "random": os.urandom(1_000),
    "random behind our version": bytes([VERSION]) + os.urandom(1_000),
    "JSON": b'{"model": "echo", "messages": []}',
    "version 0": bytes([0]) + _ours()[1:],
    "next version": bytes([VERSION + 1]) + _ours()[1:],
    "version 255": bytes([255]) + _ours()[1:],
    "cut short": _ours()[:40],
    "4 GB claimed": struct.pack(">BI", VERSION, 2**32 - 1) + b"\x80",
    "header of 10 MiB": _framed(msgpack.packb({"id": "x" * 10 * MIB})),
    "body of 20 MiB": _ours() + b" " * 20 * MIB,
    "array claiming 4 billion": _framed(b"\xdd\xff\xff\xff\xff"),
    "depth 60,000": _framed(_nested(60_000)),
    "never-used byte": _framed(b"\xc1"),
    "array": _framed(b"\x90"),
    "integer keys": _framed(b"\x81\x01\x02"),
    "ext": _framed(msgpack.packb({"id": msgpack.ExtType(5, b"x")})),
    "timestamp": _header(deadline=msgpack.Timestamp(1)),
    "trailing bytes": _framed(msgpack.packb({}) + b"\x00"),
    "invalid UTF-8": _framed(b"\x81\xa2id\xa1\xff"),
    "NaN deadline": _header(deadline=float("nan")),
    "text as deadline": _header(deadline="soon"),
    "negative generation": _header(generation=-1),
    "foreign id": _header(id="../../etc/passwd"),
    "span outside the body": _header(model_span=[0, 10_000]),
    "unknown priority": _header(priority="urgent"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_message_is_set_aside(door: Door, case: str) -> None:
    filed = _filed(door)
    asyncio.run(_publish(door, [FOREIGN[case]]))
    door.assert_well()
    assert _grows_to(door, filed + 1), door.stack.logs()


def test_forged_properties_do_no_harm(door: Door) -> None:
    filed = _filed(door)
    deaths: Any = [{"queue": "x", "reason": "expired", "count": n} for n in range(100)]
    properties = aiormq.spec.Basic.Properties(
        content_type="text/html", headers={"x-death": deaths, "x-delivery-count": -1}
    )
    asyncio.run(_publish(door, [b"<html>"], properties))
    door.assert_well()
    assert _grows_to(door, filed + 1), door.stack.logs()


def test_a_flood_of_foreign_messages_passes(door: Door) -> None:
    """The letters kept are bounded, so is the memory: the fixture's end looks at that."""
    asyncio.run(_publish(door, [os.urandom(200) for _ in range(1_500)]))
    began = time.monotonic()
    door.assert_well()
    assert time.monotonic() - began < 20
    assert _grows_to(door, 1_000), _filed(door)
    time.sleep(1)
    # A letter is added, then the oldest is dropped: a few may be in between.
    assert _filed(door) <= 1_010


# The newest is of this version.
@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "lined"])
def test_an_envelope_of_the_version_before_is_served(door: Door, name: str) -> None:
    """It may have waited in RabbitMQ since before the upgrade."""
    filed, envelope = _filed(door), decode(golden_envelope(name))
    # Of streams and batches no version before this one could accept any.
    accepted = replace(envelope, stream=False, batch=None, line=None)
    message = golden_envelope(name) if accepted == envelope else encode(accepted)
    asyncio.run(_publish(door, [message]))
    until = time.monotonic() + 20
    while door.ask("GET", f"/v1/requests/{envelope.id}").status == 404:
        assert time.monotonic() < until, door.stack.logs()
        time.sleep(0.05)
    told = door.ended(envelope.id)
    assert told["status"] == "completed", told
    assert told["metadata"] == dict(envelope.metadata)
    assert len(door.calls_of(envelope.id)) == 1
    assert _filed(door) == filed


async def _publish(
    door: Door, bodies: list[bytes], properties: aiormq.spec.Basic.Properties | None = None
) -> None:
    """Publish straight to the work queue, as a stranger with the right to write would."""
    queue = Topology(_namespace(door)).work_queue("echo", Priority.NORMAL).name
    connection = await aiormq.connect(str(door.stack.setup.amqp_url))
    try:
        channel = await connection.channel()
        for body in bodies:
            await channel.basic_publish(body, routing_key=queue, properties=properties)
    finally:
        await connection.close()


def _filed(door: Door) -> int:
    """Return how many letters are kept for an operator."""
    with redis.Redis.from_url(str(door.stack.setup.redis_url)) as client:
        count = client.llen(Keys(_namespace(door)).foreign_letters())
    assert isinstance(count, int)
    return count


def _grows_to(door: Door, count: int, within_s: float = 20.0) -> bool:
    until = time.monotonic() + within_s
    while _filed(door) < count:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _namespace(door: Door) -> str:
    return str(door.stack.setup.server["namespace"])
