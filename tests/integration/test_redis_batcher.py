"""The batcher: one pipeline per turn, each end its own caller's, Redis coming and going."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import DataError

from broker.claims import Run
from broker.redis_store.node import Node, pack
from broker.redis_store.parts import RedisParts
from schemas.errors import StoreUnavailable
from schemas.lifecycle import Status
from tests.fakes.envelopes import make_envelope
from tests.integration.redis_stage import SLOT, a_result, open_parts, until_listening
from tests.servers.redis import RedisCluster, RedisServer

pytestmark = pytest.mark.realservers


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis that the test may stop, kill and freeze."""
    server = RedisServer(tmp_path / "redis", appendfsync="always")
    server.start()
    yield server
    server.kill()


async def test_one_turn_is_one_pipeline(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    run = Node.run

    async def counted(self: Node, commands: Sequence[bytes]) -> list[Any]:
        sizes.append(len(commands))
        return await run(self, commands)

    async with open_parts(redis_url) as parts:
        assert await parts.store.create(make_envelope())  # the script is loaded
        monkeypatch.setattr(Node, "run", counted)
        await asyncio.gather(*(parts.store.create(make_envelope()) for _ in range(50)))
    assert sizes == [50]


@pytest.mark.parametrize("url", ["redis_url", "redis_cluster"])
async def test_forgotten_scripts_are_loaded_again(request: pytest.FixtureRequest, url: str) -> None:
    async with open_parts(request.getfixturevalue(url)) as parts:
        envelopes = [make_envelope() for _ in range(40)]
        await asyncio.gather(*map(parts.store.create, envelopes[:20]))
        for node in parts._routes.nodes:
            await node.run([pack("SCRIPT FLUSH")])
        assert all(await asyncio.gather(*map(parts.store.create, envelopes[20:])))
        found = await parts.store.statuses([each.id for each in envelopes])
        assert found == {each.id: Status.QUEUED for each in envelopes}


async def test_one_refused_command_is_its_own_callers_alone(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        broken = make_envelope()
        keys = parts.store._keys
        await parts.store._batcher.submit(
            keys.tag(broken.id), "SET", keys.record(broken.id), "not a hash"
        )
        results = await asyncio.gather(
            *(parts.store.create(make_envelope()) for _ in range(10)),
            parts.store.claim(broken, SLOT),
            *(parts.store.create(make_envelope()) for _ in range(10)),
            return_exceptions=True,
        )
        assert [each for each in results if each is not True] == [results[10]]
        assert isinstance(results[10], StoreUnavailable)


async def test_an_argument_that_cannot_be_sent_is_its_own_callers_alone(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        store = parts.store
        results = await asyncio.gather(
            store.create(make_envelope()),
            store.run("read", make_envelope().id, object()),
            store.create(make_envelope()),
            return_exceptions=True,
        )
        assert [results[0], results[2]] == [True, True]
        assert isinstance(results[1], DataError)


async def test_a_cancelled_caller_disturbs_nobody(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        envelopes = [make_envelope() for _ in range(200)]
        tasks = [asyncio.create_task(parts.store.create(each)) for each in envelopes]
        for number, task in enumerate(tasks):
            if number % 3 == 0:
                await asyncio.sleep(0)
                task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [each for each, end in zip(envelopes, ends, strict=True) if end is True]
        assert len(kept) >= 133
        for envelope in kept:
            record = await parts.store.get(envelope.id)
            assert record is not None
            assert record.id == envelope.id


async def test_a_restarted_redis_is_found_again_by_the_next_call(server: RedisServer) -> None:
    async with open_parts(server.url) as parts:
        envelope = make_envelope()
        await parts.store.create(envelope)
        server.kill()
        with pytest.raises(StoreUnavailable):
            await parts.store.claim(envelope, SLOT)
        assert await parts.health() is not None
        server.start()
        assert await parts.store.claim(envelope, SLOT) == Run(1, 0)
        assert await parts.health() is None


async def test_a_quick_restart_between_two_calls_is_not_even_noticed(server: RedisServer) -> None:
    async with open_parts(server.url) as parts:
        envelope = make_envelope()
        await parts.store.create(envelope)
        await until_listening(parts)
        server.kill()
        server.start()
        await asyncio.sleep(0.05)
        assert await parts.store.claim(envelope, SLOT) == Run(1, 0)


async def test_nothing_is_lost_under_load_over_a_kill(server: RedisServer) -> None:
    async with open_parts(server.url) as parts:
        envelopes = [make_envelope() for _ in range(400)]
        work = [asyncio.create_task(_until_done(parts, each.id, each)) for each in envelopes]
        await asyncio.sleep(0.02)
        server.kill()
        await asyncio.sleep(0.1)
        server.start()
        await asyncio.wait_for(asyncio.gather(*work), 20)
        entries = [
            entry.request_id
            for partition in range(16)
            for _, entry in await parts.upkeep.outbox(partition, 1_000)
        ]
        assert sorted(entries) == sorted(each.id for each in envelopes)


async def _until_done(parts: RedisParts, name: str, envelope: Any) -> None:
    result = a_result()

    async def again(step: Any) -> Any:
        while True:
            try:
                return await step()
            except StoreUnavailable:
                await asyncio.sleep(0.05)

    assert await again(lambda: parts.store.create(envelope)) is True
    assert await again(lambda: parts.store.claim(envelope, SLOT)) == Run(1, 0)
    finish = await again(lambda: parts.store.finish(envelope, result, 1, SLOT))
    assert (finish.won, finish.result) == (True, result), name


async def test_a_frozen_redis_answers_nobody_for_three_seconds_at_most(
    server: RedisServer,
) -> None:
    async with open_parts(server.url) as parts:
        await parts.store.create(make_envelope())
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            calls = []
            for _ in range(30):
                calls.append(asyncio.create_task(parts.store.get(make_envelope().id)))
                await asyncio.sleep(0.01)
            ends = await asyncio.gather(*calls, return_exceptions=True)
            took = time.monotonic() - began
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert all(isinstance(end, StoreUnavailable) for end in ends)
        assert took < 3.0
        assert await parts.store.create(make_envelope())


async def test_a_process_may_start_before_its_redis(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    async with open_parts(server.url) as parts:
        with pytest.raises(StoreUnavailable):
            await parts.store.get(make_envelope().id)
        server.start()
        try:
            assert await parts.store.create(make_envelope())
            assert await parts.health() is None
            assert any("appendonly" in warning for warning in parts.warnings())
        finally:
            server.kill()


async def test_one_lost_master_stops_only_its_own_partitions(tmp_path: Path) -> None:
    cluster = RedisCluster(tmp_path / "cluster", appendfsync="always")
    cluster.start()
    try:
        async with open_parts(cluster.url) as parts:
            envelopes = [make_envelope(id=f"req_0{n % 16:x}{n:032x}") for n in range(48)]
            assert all(await asyncio.gather(*map(parts.store.create, envelopes)))
            cluster.nodes[2].kill()
            ends = await asyncio.gather(
                *(parts.store.get(each.id) for each in envelopes), return_exceptions=True
            )
            served = [end for end in ends if not isinstance(end, StoreUnavailable)]
            assert 0 < len(served) < len(envelopes)
            cluster.nodes[2].start()
            await _until_all_known(parts, [each.id for each in envelopes])
    finally:
        cluster.kill()


async def _until_all_known(parts: RedisParts, ids: list[str]) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                if len(await parts.store.statuses(ids)) == len(ids):
                    return
            except StoreUnavailable:
                await asyncio.sleep(0.1)


async def test_a_moved_slot_is_followed(redis_cluster: str) -> None:
    async with open_parts(redis_cluster) as parts:
        envelope = make_envelope()
        await parts.store.create(envelope)
        nodes = parts._routes.nodes
        parts._routes._ranges = [(0, 16383, nodes[0])]  # what an old map says
        parts._routes._by_tag.clear()
        ids = [make_envelope(id=f"req_0{n:x}{'a' * 32}") for n in range(16)]
        assert all(await asyncio.gather(*map(parts.store.create, ids)))
        assert len(parts._routes.nodes) == 3


async def test_calls_after_the_end_are_refused(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await parts.store.create(make_envelope())
    with pytest.raises(StoreUnavailable):
        await parts.store.create(make_envelope())
    await parts.stop()
