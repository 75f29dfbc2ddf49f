"""The keeper resolves what dead processes were charged, by what the records say."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import redis.asyncio

from broker.ports import Cap, Engine, Granted, Rate, Reservation, Want
from broker.redis_store.parts import RedisParts
from schemas.envelope import Envelope
from schemas.result import Usage
from tests.conformance.ageing import age_limits
from tests.fakes.counters import counters_left
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result
from tests.integration.redis_stage import new_namespace, open_parts
from workers.keeper import Keeper

pytestmark = pytest.mark.realservers
BUDGET = Rate("tenant:t:tpm", 600, 300, "tpm", "tokens")


@dataclass
class Stage:
    """A worker that has died, and the keeper of one that lives."""

    dead: RedisParts
    living: RedisParts
    client: redis.asyncio.Redis
    namespace: str

    async def reserved(self, envelope: Envelope) -> Reservation:
        want = Want(envelope.id, "gpu", "m", 1, 1, 1e12, Cap("gpu", 9, "a slot"), own=(BUDGET,))
        (answer,) = await self.dead.limits.reserve([(want, f"dead:1:{secrets.token_hex(2)}")])
        assert isinstance(answer, Granted)
        return answer.reservation

    async def resolve(self) -> None:
        """Let the leases run out, and the keeper do its round."""
        await age_limits(self.client, self.namespace, 18)
        await self.living.members.beat("worker", [])
        # It moves no request here, so that it needs no queue.
        keeper = Keeper(_engine_of(self.living))
        await keeper._resolve_orphans({})

    async def charged(self) -> float:
        """Return how much of the budget is gone, in tokens."""
        full = replace(BUDGET, cost=600)
        now = await self.living.limits.peek([], 0)
        return (await self.living.limits.peek([full], 0) - now) * 10


def _engine_of(parts: RedisParts) -> Engine:
    return parts  # type: ignore[return-value]  # because a queue is all it lacks


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    namespace = new_namespace()
    client = redis.asyncio.Redis.from_url(redis_url)
    async with (
        open_parts(redis_url, "dead:1", namespace) as dead,
        open_parts(redis_url, "living:1", namespace) as living,
    ):
        yield Stage(dead, living, client, namespace)
    await client.aclose()


async def test_a_reservation_that_no_record_names_is_refunded(stage: Stage) -> None:
    envelope = make_envelope()
    assert await stage.living.store.create(envelope)
    await stage.reserved(envelope)
    await stage.resolve()
    assert await stage.charged() < 1
    assert await stage.living.limits.orphans(100) == []


async def test_one_whose_request_has_ended_is_settled(stage: Stage) -> None:
    envelope = make_envelope()
    assert await stage.living.store.create(envelope)
    reservation = await stage.reserved(envelope)
    await stage.dead.store.claim(envelope, reservation)
    result = make_result(usage=Usage(200, 220, 420))
    await stage.dead.store.finish(envelope, result, 1)
    await stage.resolve()
    # 300 were estimated and 420 used; 180 have come back in the 18 s.
    assert 235 < await stage.charged() < 245
    await age_limits(stage.client, stage.namespace, 60)
    assert await counters_left(stage.client, stage.namespace) == []


async def test_one_that_a_record_still_names_waits_for_the_record(stage: Stage) -> None:
    envelope = make_envelope()
    assert await stage.living.store.create(envelope)
    reservation = await stage.reserved(envelope)
    await stage.dead.store.claim(envelope, reservation)
    await stage.resolve()
    assert await stage.living.limits.orphans(100) == [(reservation, envelope.id)]
    assert await stage.living.upkeep.release(envelope.id, "dead:1")
    await stage.resolve()
    assert await stage.living.limits.orphans(100) == []


async def test_the_living_keep_what_they_hold(stage: Stage) -> None:
    envelope = make_envelope()
    reservation = await stage.reserved(envelope)
    await stage.dead.members.beat("worker", [])
    await stage.resolve()
    assert await stage.living.limits.orphans(100) == [(reservation, envelope.id)]
