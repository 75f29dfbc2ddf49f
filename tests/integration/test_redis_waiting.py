"""Counts of what waits beside the previous version, which takes and ends requests without them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from broker.claims import Run
from broker.ports import Reservation
from broker.redis_store import recounting
from broker.redis_store.parts import RedisParts
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.priority import Priority
from tests.fakes.envelopes import make_envelope
from tests.integration.redis_stage import SLOT, a_result, open_parts

pytestmark = pytest.mark.realservers


@pytest.fixture(params=["redis_url", "redis_cluster"])
async def parts(request: pytest.FixtureRequest) -> AsyncIterator[RedisParts]:
    async with open_parts(request.getfixturevalue(request.param)) as parts:
        yield parts


async def command(parts: RedisParts, envelope: Envelope, name: str, *args: object) -> object:
    """Send a command about the record past the scripts."""
    keys = parts.store._keys
    tag = keys.tag(envelope.id)
    return await parts.store._batcher.submit(tag, name, keys.record(envelope.id), *args)


async def of_the_version_before(parts: RedisParts) -> Envelope:
    """Return a request as the previous version made it: it counts for nothing."""
    envelope = make_envelope()
    await parts.store.create(envelope)
    await command(parts, envelope, "HDEL", "counted")
    keys, submit = parts.store._keys, parts.store._batcher.submit
    tag = keys.tag(envelope.id)
    left = await submit(tag, "HINCRBY", keys.waiting(tag, "m"), "normal/default", -1)
    if not left:
        await submit(tag, "HDEL", keys.waiting(tag, "m"), "normal/default")
    return envelope


async def taken_by_the_version_before(parts: RedisParts, envelope: Envelope) -> None:
    """Claim it as a worker of the previous version does."""
    fields = ("status", "in_progress", "owner", "old:1", "attempt", 1, "slot", "old:1:1")
    await command(parts, envelope, "HSET", *fields)


async def ended_by_the_version_before(parts: RedisParts, envelope: Envelope) -> None:
    """End it as a worker of the previous version does."""
    await command(parts, envelope, "HSET", "status", "completed", "expires_at", time.time() + 60)
    await command(parts, envelope, "PEXPIRE", 60_000)
    keys = parts.store._keys
    tag = keys.tag(envelope.id)
    await parts.store._batcher.submit(tag, "ZREM", keys.open(tag), envelope.id)


async def count(parts: RedisParts) -> int:
    waiting = await parts.store.waiting("m")
    return waiting.get(Priority.NORMAL, {}).get("default", 0)


async def test_what_it_made_never_counts_down(parts: RedisParts) -> None:
    for _ in range(3):
        envelope = await of_the_version_before(parts)
        assert await parts.store.claim(envelope, SLOT) == Run(1, 0)
        assert await count(parts) == 0
        assert (await parts.store.finish(envelope, a_result(), 1)).won
        assert await count(parts) == 0
    cancelled = await of_the_version_before(parts)
    await parts.store.cancel(cancelled.id)
    assert await parts.store.waiting("m") == {}


async def test_what_it_made_counts_from_our_first_step(parts: RedisParts) -> None:
    envelope = await of_the_version_before(parts)
    await parts.store.claim(envelope, SLOT)
    assert await parts.store.requeue(envelope, 1)
    assert await count(parts) == 1
    await parts.store.cancel(envelope.id)
    assert await count(parts) == 0


@pytest.mark.parametrize("step", ["requeue", "release", "finish", "cancel"])
async def test_our_next_step_makes_its_claim_good(parts: RedisParts, step: str) -> None:
    envelope = make_envelope()
    await parts.store.create(envelope)
    await taken_by_the_version_before(parts, envelope)
    if step == "release":
        assert await parts.upkeep.release(envelope.id, "old:1")
    elif step == "requeue":
        answer = await parts.store.take_over(envelope, "old:1", Reservation("gpu-a", "a:1:7"))
        assert answer == Run(2, 0)
        assert await count(parts) == 0
        assert await parts.store.requeue(envelope, 2)
    elif step == "finish":
        assert (await parts.store.finish(envelope, a_result(), 1)).won
    else:
        await parts.store.cancel(envelope.id)
    assert await count(parts) == int(step in ("requeue", "release"))


async def test_what_it_took_and_ended_is_found_by_counting_anew(parts: RedisParts) -> None:
    store = parts.store
    ended, taken, waits, old = [make_envelope() for _ in range(4)]
    for envelope in (ended, taken, waits):
        await store.create(envelope)
    old = await of_the_version_before(parts)
    await taken_by_the_version_before(parts, ended)
    await ended_by_the_version_before(parts, ended)
    await taken_by_the_version_before(parts, taken)
    await parts.upkeep.sweep()
    assert await count(parts) == 2, "that which waits, whoever made it"
    for envelope in (taken, waits, old):
        await store.cancel(envelope.id)
    assert await store.waiting("m") == {}
    assert await store.waiting_models() == []


async def test_counting_anew_changes_nothing_that_is_right(parts: RedisParts) -> None:
    for number in range(40):
        envelope = make_envelope(tenant=f"t{number % 3}", model=f"m{number % 2}")
        await parts.store.create(envelope)
        if number % 4 == 0:
            await parts.store.claim(envelope, Reservation("gpu-a", f"a:1:{number}"))
    before = [await parts.store.waiting(model) for model in ("m0", "m1")]
    await parts.upkeep.sweep()
    assert [await parts.store.waiting(model) for model in ("m0", "m1")] == before
    assert sorted(await parts.store.waiting_models()) == ["m0", "m1"]


async def test_more_than_can_be_counted_at_once_is_left_for_later(
    parts: RedisParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, waits = [make_envelope(id=new_request_id(b"seed")) for _ in range(2)]
    for envelope in (ended, waits):
        await parts.store.create(envelope)
    await taken_by_the_version_before(parts, ended)
    await ended_by_the_version_before(parts, ended)
    monkeypatch.setattr(recounting, "_MOST", 0)
    await parts.upkeep.sweep()
    assert await count(parts) == 2
    monkeypatch.undo()
    keys = parts.store._keys
    tag = keys.tag(waits.id)
    await parts.store._batcher.submit(tag, "DEL", keys.recounted(tag))
    await parts.upkeep.sweep()
    assert await count(parts) == 1
