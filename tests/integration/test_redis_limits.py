"""Slots in Redis: exact, repeatable, and careful after a time in which nobody could speak."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from broker.ports import Cap, Granted, Reservation, Want
from broker.redis_store.parts import RedisParts
from schemas.errors import StoreUnavailable
from tests.integration.redis_stage import new_namespace, open_parts, until_listening
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.realservers
T = TypeVar("T")
BACKEND = "gpu-a"


def slots(*ids: str) -> list[Reservation]:
    return [Reservation(BACKEND, each) for each in ids]


async def taken(parts: RedisParts, limit: int, ids: list[str]) -> int:
    """Ask for a slot under each of the ids; return how many were granted."""
    slot = Cap(BACKEND, limit, "a slot")
    wants = [(Want("req", BACKEND, "m", 1, 100.0, 1e12, slot), each) for each in ids]
    answers = await parts.limits.reserve(wants)
    return sum(isinstance(answer, Granted) for answer in answers)


async def age(parts: RedisParts, seconds: float) -> None:
    """Make the slots and the pulse look as if nobody had touched them for so long."""
    limits = parts.limits
    tag = limits._keys.limits
    held, pulse, *_ = limits._keys.of_backend(BACKEND)
    back = int(seconds * 1000)
    for reservation, score in _pairs(
        await limits._batcher.submit(tag, "ZRANGE", held, 0, -1, "WITHSCORES")
    ):
        await limits._batcher.submit(tag, "ZADD", held, int(score) - back, reservation)
    last = await limits._batcher.submit(tag, "GET", pulse)
    await limits._batcher.submit(tag, "SET", pulse, int(last) - back)


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize("url", ["redis_url", "redis_cluster"])
async def test_the_limit_holds_over_processes(request: pytest.FixtureRequest, url: str) -> None:
    address, namespace = request.getfixturevalue(url), new_namespace()
    async with (
        open_parts(address, "a:1", namespace) as one,
        open_parts(address, "b:1", namespace) as two,
    ):
        granted = await asyncio.gather(
            *(taken(one, 5, [f"a:1:{n}"]) for n in range(8)),
            *(taken(two, 5, [f"b:1:{n}"]) for n in range(8)),
        )
        assert sum(granted) == 5
        assert await one.limits.held(BACKEND) == 5


async def test_a_repeated_reserve_counts_what_it_holds(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        for _ in range(2):
            assert await taken(parts, 3, ["1", "2"]) == 2
        assert await taken(parts, 3, ["1", "2", "3", "4"]) == 3
        for _ in range(2):
            await parts.limits.refund(slots("1", "2", "unknown"))
        assert await parts.limits.held(BACKEND) == 1
        for _ in range(2):
            await parts.limits.renew(slots("3"))
        await parts.limits.refund([])
        await parts.limits.renew([])
        assert await parts.limits.held(BACKEND) == 1


async def test_a_release_wakes_who_wanted_a_slot(redis_url: str) -> None:
    namespace = new_namespace()
    async with (
        open_parts(redis_url, "a:1", namespace) as one,
        open_parts(redis_url, "b:1", namespace) as two,
    ):
        await until_listening(two)
        woken = asyncio.Event()
        two.limits.on_free(BACKEND, woken.set)
        assert await taken(one, 1, ["a"]) == 1
        assert await taken(two, 1, ["b"]) == 0
        await one.limits.refund(slots("a"))
        await asyncio.wait_for(woken.wait(), 2)
        assert await taken(two, 1, ["b"]) == 1


async def test_a_dead_processs_slot_is_free_after_its_lease(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await taken(parts, 2, ["dead", "alive"])
        await age(parts, 2)
        for _ in range(3):
            parts.limits._seen.clear()
            await parts.limits.renew(slots("alive"))
            await age(parts, 2.5)
        parts.limits._seen.clear()
        assert await parts.limits.held(BACKEND) == 1
        assert await taken(parts, 2, ["next"]) == 1


async def test_after_a_gap_nothing_is_granted_until_the_living_have_spoken(
    redis_url: str,
) -> None:
    async with open_parts(redis_url) as parts:
        await taken(parts, 2, ["1", "2"])
        await age(parts, 20)
        began = time.monotonic()
        assert await taken(parts, 2, ["3", "4"]) == 0, "leases have run out"
        await parts.limits.renew(slots("2"))
        await until_granted(parts, "3")
        assert 2.3 < time.monotonic() - began < 4
        assert await taken(parts, 2, ["4"]) == 0, "2 and 3 hold both"


async def test_a_renewal_that_comes_first_pauses_grants_too(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await taken(parts, 2, ["1", "2"])
        await age(parts, 20)
        await parts.limits.renew(slots("1"))
        assert await taken(parts, 2, ["3"]) == 0


async def test_what_ends_while_it_is_renewed_is_held_no_longer(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_parts(redis_url) as parts:
        await taken(parts, 2, ["1", "2"])
        renew = parts.limits._renew

        async def overtaken(*asked: Any) -> list[str]:
            await parts.limits.refund(slots("1"))
            return await renew(*asked)

        monkeypatch.setattr(parts.limits, "_renew", overtaken)
        await parts.limits.renew(slots("1", "2"))
        assert await parts.limits.held(BACKEND) == 1


async def test_an_idle_backend_grants_at_once(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await taken(parts, 2, ["1"])
        await parts.limits.refund(slots("1"))
        await age(parts, 3_600)
        parts.limits._seen.clear()  # it is the clock that went on, no data was lost
        assert await taken(parts, 2, ["2"]) == 1


async def test_a_redis_without_its_last_writes_is_noticed(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        await taken(parts, 2, ["1"])
        await parts.limits.refund(slots("1"))
        await age(parts, 1)  # as an older copy of the data would have it
        assert await taken(parts, 2, ["2"]) == 0


async def test_slots_lost_with_the_data_are_not_granted_twice(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")  # in memory: a kill loses everything
    server.start()
    namespace = new_namespace()
    try:
        async with (
            open_parts(server.url, "a:1", namespace) as one,
            open_parts(server.url, "b:1", namespace) as two,
        ):
            assert await taken(one, 1, ["a"]) == 1
            assert await taken(two, 1, ["b"]) == 0
            server.kill()
            server.start()
            assert await repeated(lambda: taken(two, 1, ["b"])) == 0
            await repeated(lambda: one.limits.renew(slots("a")))
            await asyncio.sleep(2.7)
            assert await taken(two, 1, ["b"]) == 0
    finally:
        server.kill()


async def test_leases_survive_a_freeze_of_redis(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        async with open_parts(server.url) as parts:
            assert await taken(parts, 1, ["a"]) == 1
            os.kill(server.pid, signal.SIGSTOP)
            await asyncio.sleep(3.2)
            os.kill(server.pid, signal.SIGCONT)
            await age(parts, 6)
            assert await taken(parts, 1, ["b"]) == 0
            await parts.limits.renew(slots("a"))
            assert await parts.limits.held(BACKEND) == 1
    finally:
        server.kill()


async def repeated(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except StoreUnavailable:  # the first call after a restart may meet a dead connection
        return await call()


async def until_granted(parts: RedisParts, reservation: str) -> None:
    while await taken(parts, 2, [reservation]) == 0:  # noqa: ASYNC110  because nothing else tells
        await asyncio.sleep(0.05)
