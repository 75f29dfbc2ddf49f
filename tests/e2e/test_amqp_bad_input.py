"""What no AMQP client should send: answered or dead-lettered, always acked, and harming nobody."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aio_pika
import msgpack
import pytest
import redis

from broker.redis_store.keys import Keys
from schemas.keys import hash_of, new_key
from schemas.priority import PRIORITIES
from tests.e2e.amqp_client import Client, client_of, submission, told
from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup
from tests.integration.amqp import eventually

pytestmark = pytest.mark.realservers
KEY = new_key()
MIB = 1024 * 1024
GOOD = submission("echo")
MSGPACK = {"content_type": "application/msgpack"}


@pytest.fixture(scope="module")
def door(amqp_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    guest = {"keys": [{"name": "ci", "hash": hash_of(KEY)}], "models": ["echo"]}
    setup = Setup(
        engine="real",
        workers=1,
        amqp_url=amqp_url,
        redis_url=redis_url,
        server={"namespace": f"t{secrets.token_hex(4)}"},
        more={"tenants": {"guest": guest}},
    )
    directory = tmp_path_factory.mktemp("amqp-bad")
    # 20 MB arrive whole before they are refused.
    with open_door(directory, setup, ["echo", "closed"], key=KEY, growth_kib=96 * 1024) as opened:
        yield opened


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with client_of(door) as connected:
        yield connected
        await intake_empty(connected)
        reply = await connected.ask("echo.high", GOOD)
        assert reply.type == "request.completed"


async def intake_empty(client: Client) -> None:
    """Wait until the door has taken everything."""

    async def empty() -> bool:
        return not any([await client.waiting(f"in.{each}") for each in PRIORITIES])

    await eventually(empty)


def filed(door: Door) -> list[bytes]:
    """Return the foreign letters that are kept for an operator."""
    namespace = str(door.stack.setup.server["namespace"])
    with redis.Redis.from_url(str(door.stack.setup.redis_url)) as connection:
        found = connection.lrange(Keys(namespace).foreign_letters(), 0, -1)
    assert isinstance(found, list)
    return found


async def files_one_more(door: Door, before: int) -> None:
    """Wait until one more letter is filed."""

    async def more() -> bool:
        return len(await asyncio.to_thread(filed, door)) == before + 1

    await eventually(more)


def nested(levels: int) -> bytes:
    return b"\x81\xa4body" + b"\x91" * levels + b"\xc0"


def _with(header: str, value: object) -> dict[str, Any]:
    return {"headers": {f"x-penstock-{header}": value}}


REFUSED: dict[str, tuple[bytes, dict[str, Any], str, int]] = {
    "empty": (b"", {}, "invalid_json", 400),
    "no JSON": (b"{", {}, "invalid_json", 400),
    "an array": (b"[]", {}, "invalid_body", 400),
    "no body": (b"{}", {}, "invalid_body", 400),
    "a key twice": (b'{"body": {}, "body": {}}', {}, "duplicate_key", 400),
    "unknown field": (submission("echo", colour="red"), {}, "invalid_body", 400),
    "another priority": (submission("echo", priority="low"), {}, "invalid_body", 400),
    "another model": (submission("echo", model="closed"), {}, "model_mismatch", 400),
    "unknown endpoint": (submission("echo", endpoint="/v1/x"), {}, "unsupported_endpoint", 400),
    "two deadlines": (submission("echo", timeout_s=5), {"expiration": 5}, "invalid_deadline", 400),
    "a deadline of words": (
        GOOD,
        {"headers": {"x-penstock-deadline": "soon"}},
        "invalid_deadline",
        400,
    ),
    "a deadline that passed": (
        GOOD,
        {"headers": {"x-penstock-deadline": 1}},
        "invalid_deadline",
        400,
    ),
    "a flag of words": (GOOD, _with("progress", "perhaps"), "invalid_body", 400),
    "20 MB": (b" " * 20 * MIB, {}, "body_too_large", 413),
    "unknown type": (GOOD, {"content_type": "text/xml"}, "unsupported_media_type", 415),
    "gzip": (GOOD, {"content_encoding": "gzip"}, "unsupported_media_type", 415),
}

NOT_MSGPACK: dict[str, bytes] = {
    "100,000 exts": b"\xdd\x00\x01\x86\xa0" + b"\xd4\x04x" * 100_000,
    "4 million arrays": b"\xdd\x00\x01\x86\xa0" + b"\x90" * 4_000_000,
    "random msgpack": b"\xc1" * 100,
    "msgpack cut short": msgpack.packb({"body": {}})[:-1],
    "msgpack with more behind": msgpack.packb({}) * 2,
    "ext": msgpack.packb({"body": msgpack.ExtType(4, b"x")}),
    "a timestamp": b"\x81\xa4body\xd6\xff\x00\x00\x00\x00",
    "ext of 4 GB": b"\xc9\xff\xff\xff\xff\x04",
    "array claiming 4 billion": b"\xdd\xff\xff\xff\xff",
    "map claiming 4 billion": b"\xdf\xff\xff\xff\xff",
    "arrays in arrays": b"\xdd\x00\x03\x00\x00" * 200_000,
    "depth 60,000": nested(60_000),
    "a key twice in msgpack": b"\x82\xa1a\x01\xa1a\x02",
    "a number as key": msgpack.packb({1: 2}),
    "binary": msgpack.packb({"body": b"\xff"}),
    "text that is not UTF-8": b"\x81\xa4body\xa2\xff\xfe",
}


@pytest.mark.parametrize("case", REFUSED)
async def test_it_is_refused_by_a_reply(client: Client, case: str) -> None:
    body, properties, code, status = REFUSED[case]
    reply = await client.ask("echo.high", body, **properties)
    content = told(reply)
    assert reply.type == "request.failed"
    assert (content["id"], content["object"], content["status"]) == (None, "request", "failed")
    assert (content["error"]["code"], reply.headers["x-penstock-status-code"]) == (code, status)
    assert reply.content_type == "application/json"


@pytest.mark.parametrize("case", NOT_MSGPACK)
async def test_bad_msgpack_is_refused_in_msgpack(client: Client, case: str) -> None:
    reply = await client.ask("echo.high", NOT_MSGPACK[case], **MSGPACK)
    assert (reply.type, reply.content_type) == ("request.failed", "application/msgpack")
    assert told(reply)["error"]["code"] == "invalid_msgpack"
    assert reply.headers["x-penstock-status-code"] == 400


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("echo.urgent", "invalid_routing_key"),
        ("echo", "invalid_routing_key"),
        ("", "invalid_routing_key"),
        ("a.b.high", "invalid_routing_key"),
        (".high", "invalid_routing_key"),
        ("nobody.high", "model_not_found"),
        ("closed.high", "model_not_allowed"),
    ],
)
async def test_a_key_that_leads_nowhere_is_answered(client: Client, key: str, code: str) -> None:
    reply = await client.ask(key, GOOD)
    assert told(reply)["error"]["code"] == code


async def test_an_absent_user_is_told_so(client: Client) -> None:
    reply = await client.ask("echo.high", GOOD, user_id=None)
    assert told(reply)["error"]["code"] == "unknown_user"
    assert reply.headers["x-penstock-status-code"] == 401


async def test_a_forged_user_never_gets_in(door: Door) -> None:
    async with client_of(door) as forger:
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed):
            await forger.publish("echo.high", GOOD, user_id="somebody-else")
    async with client_of(door) as honest:
        assert (await honest.ask("echo.high", GOOD)).type == "request.completed"


INTERNAL = ["dead", "in.high", "q.echo.normal.open", "retry.1s"]


@pytest.mark.parametrize("queue", INTERNAL)
async def test_a_reply_to_an_internal_queue_is_dead_lettered(
    door: Door, client: Client, queue: str
) -> None:
    before = len(filed(door))
    calls = len(door.ledger()["calls"])
    await client.publish("echo.high", GOOD, reply_to=f"{client.namespace}.{queue}")
    await files_one_more(door, before)
    assert len(door.ledger()["calls"]) == calls


@pytest.mark.parametrize("address", ["reply.other.mine", "reply.guest", "anything", "x" * 255])
async def test_a_reply_to_another_tenant_is_dead_lettered(
    door: Door, client: Client, address: str
) -> None:
    before = len(filed(door))
    await client.publish("echo.high", GOOD, reply_to=address)
    await files_one_more(door, before)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b" " * 20 * MIB])
async def test_without_reply_to_bad_input_is_dead_lettered(
    door: Door, client: Client, body: bytes
) -> None:
    before = len(filed(door))
    await client.publish("echo.high", body, reply_to=None)
    await files_one_more(door, before)


async def test_an_absent_user_cannot_be_answered_as_a_tenant(door: Door, client: Client) -> None:
    before = len(filed(door))
    await client.publish("echo.high", GOOD, user_id=None, reply_to="reply.guest.mine")
    await files_one_more(door, before)


async def test_who_has_gone_is_not_waited_for(client: Client) -> None:
    await client.publish("echo.high", b"{", reply_to="amq.gen-nobody")
    await client.publish("echo.high", GOOD, reply_to="amq.gen-nobody")
    await client.publish("echo.high", GOOD, reply_to="amq.rabbitmq.reply-to.forged")


@pytest.mark.parametrize("cancel", [b"{}", b'{"id": 7}', b'{"id": "req_x"}', b"[]", b""])
async def test_a_cancel_of_nothing_is_answered(client: Client, cancel: bytes) -> None:
    reply = await client.ask("echo.high", cancel, type="request.cancel")
    assert told(reply)["error"]["code"] in ("invalid_body", "request_not_found", "invalid_json")
