"""Waiting for the end of a request: told at once, and a lost message costs only a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.ports import Served
from broker.redis_store.node import pack
from broker.redis_store.parts import RedisParts
from schemas.envelope import Envelope
from schemas.errors import StoreUnavailable
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from schemas.record import Record
from tests.fakes.envelopes import make_envelope
from tests.integration.redis_stage import SLOT, a_result, new_namespace, open_parts, until_listening
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.realservers


@pytest.fixture(params=["redis_url", "redis_cluster"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RedisParts, RedisParts]]:
    """An api and a worker."""
    url, namespace = request.getfixturevalue(request.param), new_namespace()
    async with (
        open_parts(url, "api:1", namespace) as api,
        open_parts(url, "a:1", namespace) as worker,
    ):
        await until_listening(api)
        yield api, worker


async def end(worker: RedisParts, envelope: Envelope, body: bytes = b"{}") -> None:
    await worker.store.claim(envelope, SLOT)
    assert (await worker.store.finish(envelope, a_result(body=body), 1, SLOT)).won


@pytest.mark.parametrize("held_by", [None, "api:1"])
@pytest.mark.parametrize("size", [10, 200_000])
async def test_the_waiter_is_told_at_once(
    pair: tuple[RedisParts, RedisParts], held_by: str | None, size: int
) -> None:
    api, worker = pair
    envelope = make_envelope(held_by=held_by)
    await api.store.create(envelope)
    waits = [asyncio.create_task(api.store.wait(envelope.id, 10)) for _ in range(3)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await end(worker, envelope, b"x" * size)
    records = await asyncio.gather(*waits)
    assert time.monotonic() - began < 1
    assert records == [await api.store.get(envelope.id)] * 3
    assert records[0] is not None
    assert records[0].result is not None
    assert records[0].result.body == b"x" * size


async def test_an_end_before_the_wait_and_an_unknown_id_answer_at_once(
    pair: tuple[RedisParts, RedisParts],
) -> None:
    api, worker = pair
    envelope = make_envelope()
    await api.store.create(envelope)
    await end(worker, envelope)
    began = time.monotonic()
    assert await api.store.wait(new_request_id(), 5) is None
    record = await api.store.wait(envelope.id, 5)
    assert record is not None
    assert record.status is Status.COMPLETED
    assert time.monotonic() - began < 1


async def test_at_the_time_out_the_record_is_told_as_it_is(
    pair: tuple[RedisParts, RedisParts],
) -> None:
    api, _ = pair
    envelope = make_envelope()
    await api.store.create(envelope)
    for timeout_s in (0, 0.2):
        record = await api.store.wait(envelope.id, timeout_s)
        assert isinstance(record, Record)
        assert record.status is Status.QUEUED


async def test_a_cancel_wakes_too(pair: tuple[RedisParts, RedisParts]) -> None:
    api, worker = pair
    envelope = make_envelope()
    await api.store.create(envelope)
    wait = asyncio.create_task(api.store.wait(envelope.id, 10))
    await asyncio.sleep(0.1)
    await worker.store.cancel(envelope.id)
    record = await asyncio.wait_for(wait, 1)
    assert record is not None
    assert record.status is Status.CANCELLED


async def test_a_lost_connection_costs_a_moment(pair: tuple[RedisParts, RedisParts]) -> None:
    api, worker = pair
    envelope = make_envelope()
    await api.store.create(envelope)
    wait = asyncio.create_task(api.store.wait(envelope.id, 30))
    await asyncio.sleep(0.1)
    for node in api._routes.nodes:
        await node.run([pack("CLIENT", "KILL", "TYPE", "pubsub")])
    await end(worker, envelope)
    record = await asyncio.wait_for(wait, 4)
    assert record is not None
    assert record.status is Status.COMPLETED


async def test_a_deaf_process_still_looks(
    pair: tuple[RedisParts, RedisParts], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, worker = pair
    monkeypatch.setattr(api._waits, "_take", lambda message: None)
    envelope = make_envelope()
    await api.store.create(envelope)
    wait = asyncio.create_task(api.store.wait(envelope.id, 30))
    await asyncio.sleep(0.1)
    await end(worker, envelope)
    record = await asyncio.wait_for(wait, 4)
    assert record is not None
    assert record.status is Status.COMPLETED


async def test_a_wait_lasts_through_a_restart(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", appendfsync="always")
    server.start()
    try:
        async with open_parts(server.url, "api:1") as api:
            envelope = make_envelope()
            await api.store.create(envelope)
            wait = asyncio.create_task(api.store.wait(envelope.id, 30))
            await asyncio.sleep(0.1)
            server.kill()
            await asyncio.sleep(0.3)
            with pytest.raises(StoreUnavailable):
                await api.store.wait(envelope.id, 0.3)
            server.start()
            await until_listening(api)
            await end(api, envelope)
            record = await asyncio.wait_for(wait, 5)
            assert record is not None
            assert record.status is Status.COMPLETED
    finally:
        server.kill()


async def test_members_are_known_by_their_beats(pair: tuple[RedisParts, RedisParts]) -> None:
    api, worker = pair
    await api.members.beat("api", [])
    await worker.members.beat("worker", [Served("m", 4, 1, 2), Served("n", 1)])
    age = await api.members.last_beat("a:1")
    assert age is not None
    assert age < 1
    assert await api.members.last_beat("nobody:1") is None
    assert await api.members.served() == [Served("m", 4, 1, 2), Served("n", 1)]
    await api.members.beat("both", [Served("m", 4, 2, 1)])
    served = {each.model: each for each in await worker.members.served()}
    assert served["m"] == Served("m", 4, 3, 3)
    for _ in range(2):
        await worker.members.leave()
    assert await api.members.last_beat("a:1") is None


async def silence(parts: RedisParts, owner: str, seconds: float) -> None:
    """Make `owner`'s last beat that much older."""
    members = parts.members
    live, *_ = members._keys.of_members()
    await members._batcher.submit(members._keys.members, "ZINCRBY", live, -seconds, owner)


async def test_a_silent_member_is_dead_after_eight_seconds(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await parts.members.beat("worker", [Served("m", 1)])
        await silence(parts, "a:1", 7)
        age = await parts.members.last_beat("a:1")
        assert age is not None
        assert age > 6.9
        await silence(parts, "a:1", 2)
        assert await parts.members.last_beat("a:1") is None
        assert await parts.members.served() == []


async def test_nobody_is_dead_while_nobody_could_beat(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await parts.members.beat("worker", [])
        members = parts.members
        _, _, pulse, _ = members._keys.of_members()
        last = await members._batcher.submit(members._keys.members, "GET", pulse)
        await members._batcher.submit(members._keys.members, "SET", pulse, float(last) - 30)
        await silence(parts, "a:1", 30)
        for _ in range(4):
            assert await parts.members.last_beat("a:1") is not None
            await asyncio.sleep(1.05)
        assert await parts.members.last_beat("a:1") is None
