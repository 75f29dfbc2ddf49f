"""Requests by AMQP, with aio-pika: the reply is what HTTP would tell, in the client's own words."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aio_pika
import msgpack
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.common import FieldValue

from schemas.codec import encode
from schemas.keys import hash_of, new_key
from tests.e2e.amqp_client import Client, client_of, submission, told
from tests.e2e.door import Door, open_door
from tests.fakes.envelopes import make_envelope
from tests.fakes.stack import Setup

pytestmark = pytest.mark.realservers
KEY, OTHER = new_key(), new_key()
MODELS = ["echo", "slow-3000", "status-400", "hang", "Vendor/Echo.1", "words-20-5"]


@pytest.fixture(scope="module")
def door(amqp_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {
        "guest": {"keys": [{"name": "ci", "hash": hash_of(KEY)}], "models": ["*"]},
        "other": {"keys": [{"name": "ci", "hash": hash_of(OTHER)}], "models": ["echo"]},
    }
    setup = Setup(
        engine="real",
        workers=1,
        amqp_url=amqp_url,
        redis_url=redis_url,
        server={"namespace": f"t{secrets.token_hex(4)}"},
        more={"tenants": tenants, "aliases": {"friend": "echo"}},
    )
    directory = tmp_path_factory.mktemp("amqp")
    with open_door(directory, setup, MODELS, key=KEY, growth_kib=128 * 1024) as opened:
        yield opened


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with client_of(door) as connected:
        yield connected


async def of(door: Door, request_id: str) -> dict[str, Any]:
    """Return a request as HTTP tells it."""
    seen = await asyncio.to_thread(door.ask, "GET", f"/v1/requests/{request_id}")
    content: dict[str, Any] = seen.json
    return content


@pytest.mark.parametrize("priority", ["high", "normal", "low", "batch"])
async def test_the_reply_is_the_request_as_http_tells_it(
    door: Door, client: Client, priority: str
) -> None:
    reply = await client.ask(f"echo.{priority}", submission("echo", metadata={"n": "1"}))
    content = told(reply)
    assert (reply.type, reply.content_type) == ("request.completed", "application/json")
    assert (content["status"], content["priority"]) == ("completed", priority)
    assert reply.headers["x-penstock-id"] == content["id"]
    assert reply.headers["x-penstock-status-code"] == 200
    assert content["response"]["body"]["object"] == "chat.completion"
    seen = await of(door, content["id"])
    close = {"started_at", "finished_at", "expires_at"}
    assert {k: v for k, v in seen.items() if k not in {*close, "history"}} == {
        k: v for k, v in content.items() if k not in close
    }
    assert all(abs(seen[name] - content[name]) < 1 for name in close)


@pytest.mark.parametrize("size", [300_000, 7_000_000])
async def test_bodies_and_answers_may_be_large(door: Door, client: Client, size: int) -> None:
    """The answer is whole in the reply up to 1 MiB, as in the request object."""
    inputs = ["x"] * (size // 64 + 1)
    asked = {"endpoint": "/v1/embeddings", "body": {"input": inputs, "user": "u" * size}}
    reply = await client.ask("echo.normal", json.dumps(asked).encode())
    content = told(reply)
    assert reply.type == "request.completed"
    assert reply.headers["x-penstock-status-code"] == 200
    body = content["response"]["body"]
    assert body is None if size > 1_000_000 else len(body["data"]) == len(inputs)
    path = f"/v1/requests/{content['id']}/response"
    alone = await asyncio.to_thread(door.ask, "GET", path)
    assert len(alone.json["data"]) == len(inputs)


async def test_a_large_repeat_is_told_the_same_and_puts_nothing_aside(
    door: Door, client: Client
) -> None:
    body = submission("echo", metadata={"n": "1"}).replace(b"hello", b"x" * 300_000)
    first = told(await client.ask("echo.high", body, message_id="large-1"))
    again = told(await client.ask("echo.high", body, message_id="large-1"))
    assert again["id"] == first["id"]
    kept = door.stack.directory / "data" / "blobs" / "kept"
    assert len(list(kept.glob(f"until/*/{first['id']}.*"))) == 1


async def test_msgpack_is_answered_by_msgpack(client: Client) -> None:
    asked = msgpack.packb({"body": {"messages": [{"role": "user", "content": "grüße"}]}})
    reply = await client.ask("echo.high", asked, content_type="application/msgpack")
    assert reply.content_type == "application/msgpack"
    assert told(reply)["status"] == "completed"


async def test_a_final_refusal_of_the_backend_is_passed_on(client: Client) -> None:
    reply = await client.ask("status-400.normal", submission("status-400"))
    content = told(reply)
    assert (reply.type, reply.headers["x-penstock-status-code"]) == ("request.failed", 400)
    assert content["error"]["code"] == "backend_failed"
    assert content["response"]["status_code"] == 400


async def test_the_key_names_model_and_alias_by_slug(door: Door, client: Client) -> None:
    models = await asyncio.to_thread(door.ask, "GET", "/v1/models")
    slugs = {item["id"]: item["penstock"]["slug"] for item in models.json["data"]}
    assert told(await client.ask("friend.low", submission("echo")))["model"] == "echo"
    reply = await client.ask(f"{slugs['Vendor/Echo.1']}.low", submission("x"))
    assert told(reply)["model"] == "Vendor/Echo.1"


async def test_expiration_is_the_timeout(client: Client) -> None:
    reply = await client.ask("hang.normal", submission("hang"), expiration=1.5)
    content = told(reply)
    assert reply.type in ("request.expired", "request.failed")
    assert content["deadline"] - content["created_at"] == pytest.approx(1.5, abs=0.2)


async def test_a_repeat_is_told_the_same_and_runs_once(door: Door, client: Client) -> None:
    body = submission("slow-3000")
    first = await client.publish("slow-3000.high", body, message_id="m-1")
    second = await client.publish("slow-3000.high", body, message_id="m-1")
    one, two = await client.reply(first), await client.reply(second)
    assert told(one)["id"] == told(two)["id"]
    third = await client.ask("slow-3000.high", body, message_id="m-1")
    assert told(third)["id"] == told(one)["id"]
    assert len(await asyncio.to_thread(door.calls_of, told(one)["id"])) == 1


async def test_another_request_under_the_same_message_id_is_refused(client: Client) -> None:
    await client.ask("echo.high", submission("echo"), message_id="m-2")
    reply = await client.ask("echo.high", submission("echo", priority="high"), message_id="m-2")
    assert told(reply)["error"]["code"] == "idempotency_conflict"


async def test_without_reply_to_it_runs_all_the_same(door: Door, client: Client) -> None:
    tag = secrets.token_hex(4)
    await client.publish("echo.high", submission("echo", metadata={"tag": tag}), reply_to=None)
    await _tagged(door, tag)


async def test_progress_is_told_to_who_asks(client: Client) -> None:
    headers = {"x-penstock-progress": True}
    asked = await client.publish("slow-3000.high", submission("slow-3000"), headers=headers)
    kinds: list[str | None] = []
    while not kinds or kinds[-1] != "request.completed":
        kinds.append((await client.reply(asked)).type)
    assert kinds == ["request.accepted", "request.progress", "request.completed"]


@pytest.mark.parametrize("status", ["queued", "in_progress"])
async def test_a_cancel_is_answered_with_the_request(
    door: Door, client: Client, status: str
) -> None:
    later = {"not_before": time.time() + 60} if status == "queued" else {}
    headers = {"x-penstock-progress": True}
    asked = await client.publish("hang.high", submission("hang", **later), headers=headers)
    request_id = told(await client.reply(asked))["id"]
    if status == "in_progress":
        assert (await client.reply(asked)).type == "request.progress"
    body = json.dumps({"id": request_id}).encode()
    for _ in range(2):  # a cancel repeated is answered alike
        cancelled = await client.ask("echo.low", body, type="request.cancel")
        assert (cancelled.type, told(cancelled)["id"]) == ("request.cancelled", request_id)
    assert (await of(door, request_id))["status"] == "cancelled"
    await _told_once(client, asked, "request.cancelled")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
async def test_who_asked_by_amqp_is_told_of_a_cancel_over_http(
    door: Door, client: Client, status: str
) -> None:
    later = {"not_before": time.time() + 60} if status == "queued" else {}
    headers = {"x-penstock-progress": True}
    asked = await client.publish("hang.high", submission("hang", **later), headers=headers)
    request_id = told(await client.reply(asked))["id"]
    if status == "in_progress":
        assert (await client.reply(asked)).type == "request.progress"
    await asyncio.to_thread(door.ask, "POST", f"/v1/requests/{request_id}/cancel")
    assert told(await _told_once(client, asked, "request.cancelled"))["id"] == request_id


async def test_who_asked_is_told_that_it_expired(client: Client) -> None:
    asked = await client.publish("hang.high", submission("hang", timeout_s=1.5))
    await _told_once(client, asked, "request.expired")


async def test_of_many_that_expire_each_is_told_once(client: Client) -> None:
    """Some while they run, by their worker; those that wait also by the keeper."""
    body = submission("hang", timeout_s=2.5)
    asked = [await client.publish("hang.high", body) for _ in range(24)]
    told_once = (_told_once(client, each, "request.expired") for each in asked)
    replies = await asyncio.gather(*told_once)
    assert len({told(reply)["id"] for reply in replies}) == len(asked)


async def test_what_rabbitmq_sets_aside_is_told_once(client: Client) -> None:
    asked = make_envelope(reply_to=client.replies, correlation_id=secrets.token_hex(8))
    correlation_id, dead = str(asked.correlation_id), f"{client.namespace}.dead"
    await client.channel.default_exchange.publish(aio_pika.Message(encode(asked)), dead, timeout=20)
    reply = await _told_once(client, correlation_id, "request.failed")
    assert told(reply)["error"]["code"] == "dead_lettered"
    # A second copy comes when the record knows that the first was told.
    await client.channel.default_exchange.publish(aio_pika.Message(encode(asked)), dead, timeout=20)
    with pytest.raises(TimeoutError):
        await client.reply(correlation_id, within_s=3.0)


@pytest.mark.parametrize("content_type", ["application/json", "application/msgpack"])
async def test_a_stream_is_told_chunk_by_chunk_and_then_whole(
    client: Client, content_type: str
) -> None:
    body = submission("words-20-5")
    if content_type == "application/msgpack":
        body = msgpack.packb(json.loads(body))
    headers = {"x-penstock-stream": True}
    asked = await client.publish(
        "words-20-5.high", body, headers=headers, content_type=content_type
    )
    chunks: list[Any] = []
    while (reply := await client.reply(asked)).type == "request.chunk":
        assert reply.headers["x-penstock-seq"] == len(chunks)
        chunks.append(told(reply) if len(chunks) < 21 else reply.body)
    assert reply.type == "request.completed"
    assert told(reply)["usage"]["output_tokens"] == 20
    text = "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks
        if isinstance(chunk, dict)
        for choice in chunk["choices"]
    )
    assert text.split() == [f"w{number}" for number in range(20)], chunks


@pytest.mark.parametrize("gone", [True, False])
async def test_a_stream_ends_well_though_nobody_takes_its_chunks(
    door: Door, client: Client, gone: bool
) -> None:
    """The requester has gone, or its queue is full; chunks that did come are the first ones."""
    full: dict[str, FieldValue] = {"x-max-length": 3, "x-overflow": "reject-publish"}
    queue = await client.channel.declare_queue(exclusive=True, arguments=full)
    if gone:
        await queue.delete()
    tag = secrets.token_hex(4)
    body = submission("words-20-5", stream=True, metadata={"tag": tag})
    await client.publish("words-20-5.high", body, reply_to=queue.name)
    assert (await _tagged(door, tag))["usage"]["output_tokens"] == 20
    if not gone:
        came = [await queue.get(no_ack=True, timeout=10) for _ in range(3)]
        assert [each.headers["x-penstock-seq"] for each in came] == [0, 1, 2]


async def test_who_does_not_ask_for_chunks_gets_none(client: Client) -> None:
    reply = await client.ask("words-20-5.high", submission("words-20-5"))
    assert reply.type == "request.completed"


async def _tagged(door: Door, tag: str) -> dict[str, Any]:
    """Return the request with this tag once it is completed."""
    async with asyncio.timeout(20):
        while True:
            listed = await asyncio.to_thread(door.ask, "GET", "/v1/requests?limit=100")
            for each in listed.json["data"]:
                if each["metadata"].get("tag") == tag and each["status"] == "completed":
                    found: dict[str, Any] = each
                    return found
            await asyncio.sleep(0.1)


async def _told_once(client: Client, asked: str, kind: str) -> AbstractIncomingMessage:
    """Return the one reply that ends a request; nothing comes after it."""
    while (reply := await client.reply(asked)).type == "request.progress":
        pass
    assert reply.type == kind
    with pytest.raises(TimeoutError):
        await client.reply(asked, within_s=3.0)
    return reply


async def test_a_foreign_request_cannot_be_cancelled(door: Door, client: Client) -> None:
    foreign = await asyncio.to_thread(door.as_key(OTHER).submit, "echo")
    reply = await client.ask(
        "echo.low", json.dumps({"id": foreign}).encode(), type="request.cancel"
    )
    assert told(reply)["error"]["code"] == "request_not_found"
