"""What a process learns that could not speak for longer than its leases, and who resolves it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis.asyncio

from broker.ports import Cap, Granted, Rate, Reservation, Spent, Want
from broker.redis_store.keys import Keys
from broker.redis_store.parts import RedisParts
from tests.conformance.ageing import age_limits
from tests.fakes.counters import counters_left
from tests.integration.redis_stage import new_namespace, open_parts

pytestmark = pytest.mark.realservers
TENANT = Cap("tenant:t:parallel", 1, "a cap")
BUDGET = Rate("tenant:t:tpm", 100, 60, "tpm", "tokens")


@dataclass
class Two:
    """Two processes; the first falls silent whenever time passes."""

    silent: RedisParts
    other: RedisParts
    client: redis.asyncio.Redis
    namespace: str

    async def pass_time(self, seconds: float, *others: Reservation) -> None:
        """Let time pass while the other process goes on."""
        for _ in range(int(seconds / 2)):
            await age_limits(self.client, self.namespace, 2)
            await self.other.limits.renew(others)

    async def left(self) -> list[str]:
        return await counters_left(self.client, self.namespace)


@pytest.fixture
async def two(redis_url: str) -> AsyncIterator[Two]:
    namespace = new_namespace()
    async with (
        open_parts(redis_url, "a:1", namespace) as silent,
        open_parts(redis_url, "b:1", namespace) as other,
        _client(redis_url) as client,
    ):
        yield Two(silent, other, client, namespace)


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


async def ask(parts: RedisParts, slots: int, *ids: str, **own: Any) -> list[Reservation]:
    slot = Cap("gpu", slots, "a slot")
    plain = Want("", "gpu", "m", 1, 100, 1e12, slot, **own)
    wants = [(replace(plain, request_id=f"req of {each}"), each) for each in ids]
    answers = await parts.limits.reserve(wants)
    return [answer.reservation for answer in answers if isinstance(answer, Granted)]


async def test_what_others_have_taken_is_lost(two: Two) -> None:
    mine = await ask(two.silent, 3, "a:1:1", "a:1:2")
    theirs = await ask(two.other, 3, "b:1:1")
    await two.pass_time(10, *theirs)
    theirs += await ask(two.other, 3, "b:1:2")
    assert await two.silent.limits.renew(mine) == mine[1:], "one still has room"
    assert await two.silent.limits.held("gpu") == 3
    assert await two.other.limits.renew(theirs) == []


async def test_a_lease_that_nobody_has_taken_is_not_lost(two: Two) -> None:
    mine = await ask(two.silent, 2, "a:1:1", "a:1:2")
    theirs = await ask(two.other, 3, "b:1:1")
    await two.pass_time(10, *theirs)
    assert await two.silent.limits.renew(mine) == []


async def test_nothing_is_lost_while_nobody_could_speak(two: Two) -> None:
    mine = await ask(two.silent, 1, "a:1:1")
    await age_limits(two.client, two.namespace, 20)
    pulse = Keys(two.namespace).of_backend("gpu")[1]
    await two.client.set(pulse, int(await two.client.get(pulse) or 0) - 20_000)
    assert await ask(two.other, 1, "b:1:1") == []
    assert await two.silent.limits.renew(mine) == []
    assert await ask(two.other, 1, "b:1:2") == []


async def test_a_callers_cap_is_leased_too(two: Two) -> None:
    mine = await ask(two.silent, 9, "a:1:1", own=(TENANT,))
    others = await ask(two.other, 9, "b:1:1")
    await two.pass_time(10, *others)
    others += await ask(two.other, 9, "b:1:2", own=(TENANT,))
    assert len(others) == 2
    assert await two.silent.limits.renew(mine) == mine
    await two.other.limits.settle([Spent(each) for each in (*mine, *others)])
    assert await two.other.limits.held(TENANT.key) == 0


async def test_what_the_dead_were_charged_stays_until_it_is_resolved(two: Two) -> None:
    (mine,) = await ask(two.silent, 9, "a:1:1", own=(BUDGET, TENANT))
    others = await ask(two.other, 9, "b:1:1", own=(Rate("r", 9, 1, "r", "requests"),))
    assert await two.other.limits.orphans(100) == []
    await two.pass_time(20, *others)
    assert await two.other.limits.orphans(100) == [(mine, "req of a:1:1")]
    await two.other.limits.refund([mine])
    assert await two.other.limits.orphans(100) == []
    await two.other.limits.refund(others)
    await two.pass_time(80)
    assert await two.left() == []


async def test_every_orphan_is_found_however_many_there_are(two: Two) -> None:
    ids = [f"a:1:{number}" for number in range(150)]
    rate = Rate("r", 100_000, 1, "r", "requests")
    assert len(await ask(two.silent, 150, *ids, own=(rate,))) == 150
    await two.pass_time(20, *await ask(two.other, 151, "b:1:1"))
    found = {each.id for _ in range(40) for each, _ in await two.other.limits.orphans(20)}
    assert found == set(ids)


async def test_a_booking_lapses_half_a_minute_after_its_time(two: Two) -> None:
    held = await ask(two.other, 9, "b:1:1", own=(BUDGET,))
    assert await ask(two.other, 9, "b:1:2", own=(BUDGET,)) == []
    waits_s = await two.other.limits.peek([BUDGET], 1) - time.time()
    assert 47 < waits_s <= 48, "behind the one that is booked"
    await two.pass_time(40, *held)
    await two.other.limits.orphans(1)
    assert {"booked", "lapses"} <= set(await two.left()), "it is honoured"
    await two.pass_time(20, *held)
    await two.other.limits.orphans(1)
    assert set(await two.left()) == {"reserved", "slots:gpu"}


async def test_a_late_refund_returns_no_more_than_has_not_overflowed(two: Two) -> None:
    """As tests/unit/test_rates.py: 36 s to refill, of which 10 are left at the next start."""
    (early,) = await ask(two.other, 9, "b:1:1", own=(BUDGET,))
    await two.pass_time(26, early)
    fifty, sixty = (replace(BUDGET, cost=cost) for cost in (50, 60))
    assert await ask(two.other, 9, "b:1:2", own=(fifty,)) != []
    await two.other.limits.refund([early])
    # It waits for ten tokens, as though the first had never been.
    assert 4 < await two.other.limits.peek([sixty], 0) - time.time() <= 6
    assert await ask(two.other, 9, "b:1:3", own=(sixty,)) == []
