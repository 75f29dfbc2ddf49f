"""What the lists leave in Redis: entries go with their records, whether anybody reads or not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from broker.ports import Selection
from broker.redis_store import lists, pruning
from broker.redis_store.parts import RedisParts
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from tests.fakes.envelopes import make_envelope
from tests.integration.redis_stage import SLOT, a_result, open_parts

pytestmark = pytest.mark.realservers
_SEED = b"one partition"


async def ask(parts: RedisParts, envelope: Envelope, command: str, key: str, *args: Any) -> Any:
    """Run a command on a key of the envelope's partition."""
    tag = parts.store._keys.tag(envelope.id)
    return await parts.store._batcher.submit(tag, command, "{" + tag + "}:" + key, *args)


async def ended(parts: RedisParts, count: int, **changes: Any) -> list[Envelope]:
    """Make requests in one partition that leave nothing behind soon."""
    soon = time.time() + 0.2
    made = [make_envelope(id=new_request_id(_SEED), deadline=soon, **changes) for _ in range(count)]
    await asyncio.gather(*(parts.store.create(each) for each in made))
    await asyncio.gather(*(parts.store.cancel(each.id) for each in made))
    await asyncio.sleep(0.4)
    return made


async def test_the_sweep_prunes_what_nobody_reads(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_MOST", 3)
    async with open_parts(redis_url, retention_s=0.2) as parts:
        old = time.time() - 10
        kept = [
            make_envelope(id=new_request_id(_SEED), accepted_at=old + n / 10) for n in range(10)
        ]
        await asyncio.gather(*(parts.store.create(each) for each in kept))
        (first, *_) = await ended(parts, 10, accepted_at=old + 0.45)
        assert await ask(parts, first, "ZCARD", "of:default") == 20
        await parts.upkeep.sweep()
        left = await ask(parts, first, "ZRANGE", "of:default", 0, -1)
        assert [each.decode() for each in left] == [each.id for each in kept]


async def test_the_sweep_has_its_turn_and_one_process_takes_it(redis_url: str) -> None:
    async with open_parts(redis_url, retention_s=0.2) as parts:
        await parts.upkeep.sweep()
        (first,) = await ended(parts, 1)
        await parts.upkeep.sweep()
        assert await ask(parts, first, "ZCARD", "of:default") == 1
        left_ms = await ask(parts, first, "PTTL", "pruned")
        assert 0 < left_ms <= pruning.EVERY_S * 1000


async def test_a_list_drops_what_it_meets_and_goes_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_MOST", 3)
    async with open_parts(redis_url, retention_s=0.2) as parts:
        (first, *_) = await ended(parts, 20)
        kept = make_envelope(id=new_request_id(_SEED), accepted_at=time.time() - 100)
        await parts.store.create(kept)
        found = await parts.store.select(Selection("default"), None, 5) or []
        assert [each.id for each in found] == [kept.id]
        assert await ask(parts, first, "ZCARD", "of:default") == 1


async def test_an_expired_dead_letter_leaves_its_list(redis_url: str) -> None:
    async with open_parts(redis_url, retention_s=0.2) as parts:
        made = [make_envelope(id=new_request_id(_SEED)) for _ in range(2)]
        for envelope in made:
            await parts.store.claim(envelope, SLOT)
            result = a_result(Status.FAILED, code="poisoned")
            await parts.store.finish(envelope, result, 1, keep_envelope=True)
            # As after seven days.
            await ask(parts, envelope, "DEL", f"dead:{envelope.id}")
        assert await parts.dead_letters.select(Selection(None), None, 5) == []
        assert await ask(parts, made[0], "ZCARD", "dead") == 0


async def test_nothing_is_left_of_held_and_counted_requests(redis_url: str) -> None:
    async with open_parts(redis_url) as parts:
        held = [make_envelope(id=new_request_id(_SEED), held_by="api:1") for _ in range(5)]
        for envelope in held:
            await parts.store.create(envelope)
        assert await ask(parts, held[0], "ZCARD", "joins") == 5
        await asyncio.gather(*(parts.store.cancel(each.id) for each in held))
        assert await ask(parts, held[0], "EXISTS", "joins") == 0
        assert await ask(parts, held[0], "HGETALL", "counts") == [b"default", b"0"]


async def test_a_record_of_the_version_before_ends_without_being_counted(redis_url: str) -> None:
    """It has no body hash and was never counted."""
    async with open_parts(redis_url) as parts:
        envelope = make_envelope(held_by="api:1")
        await parts.store.create(envelope)
        await ask(parts, envelope, "HDEL", f"rec:{envelope.id}", "body_hash")
        await ask(parts, envelope, "DEL", "counts")
        record = await parts.store.cancel(envelope.id)
        assert record is not None
        assert (record.status, record.body_hash) == (Status.CANCELLED, None)
        assert await parts.store.open_count("default") == 0
