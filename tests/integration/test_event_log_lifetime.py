"""How long an event log lives: until some time after its end, or after the deadline."""

from __future__ import annotations

import time

import pytest

from broker.embedded.events import EmbeddedEvents
from broker.ports.events import KEPT_S
from broker.redis_store.keys import Keys
from broker.redis_store.parts import RedisParts
from schemas.ids import new_request_id
from tests.integration.redis_stage import new_namespace, open_parts


class _Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_embedded_a_sealed_log_goes_after_its_time() -> None:
    clock, request_id = _Clock(), new_request_id()
    events = EmbeddedEvents(clock)
    await events.begin(request_id, 1, restart=False, deadline=clock.now + 10_000)
    await events.append(request_id, 1, 0, [b"a"])
    await events.seal(request_id)
    clock.now += KEPT_S - 1
    assert await events.read(request_id, -1)
    clock.now += 2
    assert not await events.read(request_id, -1)


async def test_embedded_a_log_that_nobody_seals_goes_after_the_deadline() -> None:
    clock, request_id = _Clock(), new_request_id()
    events = EmbeddedEvents(clock)
    await events.begin(request_id, 1, restart=False, deadline=clock.now + 10)
    await events.append(request_id, 1, 0, [b"a"])
    clock.now += 10 + KEPT_S - 1
    assert await events.read(request_id, -1)
    clock.now += 2
    assert not await events.read(request_id, -1)


async def test_embedded_logs_of_what_has_ended_take_bounded_memory() -> None:
    clock = _Clock()
    events = EmbeddedEvents(clock)
    ids = [new_request_id() for _ in range(40)]
    for request_id in ids:
        await events.begin(request_id, 1, restart=False, deadline=clock.now + 10_000)
        await events.append(request_id, 1, 0, [b"x" * 1024 * 1024] * 4)
    for request_id in ids[1:]:
        await events.seal(request_id)
    left = [request_id for request_id in ids if await events.read(request_id, -1)]
    # 64 MiB of those that have ended, the newest, and what still runs however old it is.
    assert left == [ids[0], *ids[-15:]]


@pytest.mark.realservers
async def test_redis_every_key_of_a_log_has_its_time_to_live(redis_url: str) -> None:
    namespace, request_id = new_namespace(), new_request_id()
    keys = Keys(namespace)
    async with open_parts(redis_url, "w:1", namespace) as parts:
        deadline = time.time() + 1_000
        await parts.events.begin(request_id, 1, restart=False, deadline=deadline)
        async with parts.events.follow(request_id) as follower:
            await follower.after(-1, 0.01)
            await parts.events.append(request_id, 1, 0, [b"a"])
            running = await _lifetimes(parts, keys, request_id)
        await parts.events.seal(request_id)
        sealed = await _lifetimes(parts, keys, request_id)
    log, chunks, readers = running
    assert KEPT_S < log <= 1_000 + KEPT_S
    assert abs(chunks - log) < 5
    assert 0 < readers <= 30
    assert 0 < sealed[0] <= KEPT_S
    assert 0 < sealed[1] <= KEPT_S


async def _lifetimes(parts: RedisParts, keys: Keys, request_id: str) -> list[float]:
    batcher, tag = parts._batcher, keys.tag(request_id)
    return [await batcher.submit(tag, "PTTL", key) / 1000 for key in keys.of_log(request_id)]
