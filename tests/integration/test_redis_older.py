"""What the version before wrote into Redis: records, outbox entries, its settler's cursor."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.claims import Run
from broker.ports import OutboxEntry, Validated
from broker.redis_store.parts import RedisParts
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.ids import partition_of
from schemas.lifecycle import Status
from schemas.result import encode_result
from tests.fakes.batches import make_batch, make_line
from tests.fakes.envelopes import make_envelope
from tests.integration.redis_stage import SLOT, a_result, open_parts

pytestmark = pytest.mark.realservers


@pytest.fixture(params=["redis_url", "redis_cluster"])
async def parts(request: pytest.FixtureRequest) -> AsyncIterator[RedisParts]:
    async with open_parts(request.getfixturevalue(request.param)) as parts:
        yield parts


async def run(parts: RedisParts, request_id: str, name: str, key: str, *args: Any) -> Any:
    """Run a command on a key of the partition that holds the request."""
    tag = parts.store._keys.tag(request_id)
    return await parts.store._batcher.submit(tag, name, "{" + tag + "}:" + key, *args)


async def of_the_version_before(parts: RedisParts, envelope: Envelope) -> None:
    """Write a waiting request as that one did."""
    fields: dict[str, Any] = {
        "status": "queued",
        "counted": "1",
        "tenant": envelope.tenant,
        "model": envelope.model,
        "endpoint": envelope.endpoint,
        "priority": envelope.priority.value,
        "accepted_at": repr(envelope.accepted_at),
        "deadline": repr(envelope.deadline),
        "body_hash": envelope.body_hash,
    }
    flat = [part for pair in fields.items() for part in pair]
    await run(parts, envelope.id, "HSET", f"rec:{envelope.id}", *flat)
    await run(parts, envelope.id, "SET", f"env:{envelope.id}", encode(envelope))
    await run(parts, envelope.id, "ZADD", "open", time.time() - 1, envelope.id)
    await run(parts, envelope.id, "ZADD", f"of:{envelope.tenant}", "1", envelope.id)


async def test_a_record_is_read_run_and_ended(parts: RedisParts) -> None:
    envelope = make_envelope()
    await of_the_version_before(parts, envelope)
    record = await parts.store.get(envelope.id)
    assert record is not None
    assert (record.stream, record.restart, record.replied) == (False, False, False)
    assert (record.reply_to, record.correlation_id, record.reply_as) == (None, None, None)
    assert record.webhook is None
    assert await parts.upkeep.unpublished(envelope.id) == envelope
    assert [each.id for each in await parts.upkeep.due(partition_of(envelope.id), 10)] == [
        envelope.id
    ]
    assert await parts.store.claim(envelope, SLOT) == Run(1, 0)
    result = a_result()
    assert (await parts.store.finish(envelope, result, 1, SLOT)).won
    ended = await parts.store.get(envelope.id)
    assert ended is not None
    assert ended.result == result
    assert await parts.store.forget(envelope.id)


@pytest.mark.parametrize("tokens", [[], ["tokens", ""], ["tokens", "12"]])
async def test_an_entry_of_the_outbox_is_read_by_every_reader(
    parts: RedisParts, tokens: list[str]
) -> None:
    envelope = make_envelope()
    entry = ["id", envelope.id, "status", "completed", "backend", "gpu-a", "slot", "a:1:1"]
    await run(parts, envelope.id, "XADD", "outbox", "*", *entry, *tokens)
    used = 12 if "12" in tokens else None
    expected = OutboxEntry(envelope.id, Status.COMPLETED, SLOT, used)
    partition = partition_of(envelope.id)
    [(cursor, told)] = await parts.upkeep.outbox(partition, 10)
    assert told == expected
    assert await parts.upkeep.outbox(partition, 10, "webhooks") == [(cursor, expected)]
    assert await parts.upkeep.outbox(partition, 10, "replies") == []


async def test_its_settler_is_not_repeated_and_its_trim_does_no_harm(parts: RedisParts) -> None:
    """What an older worker has trimmed, no reader of ours finds: they go on with the rest."""
    ids = [f"req_05{number:032x}" for number in range(3)]
    for request_id in ids:
        await parts.store.create(make_envelope(id=request_id))
        await parts.store.cancel(request_id)
    entries = await parts.upkeep.outbox(5, 10)
    await run(parts, ids[0], "SET", "settled", entries[1][0])
    await run(parts, ids[0], "XTRIM", "outbox", "MINID", entries[1][0])
    assert await parts.upkeep.outbox(5, 10) == entries[2:]
    assert await parts.upkeep.outbox(5, 10, "webhooks") == entries[1:]


async def test_the_outbox_is_trimmed_behind_the_last_of_its_readers(parts: RedisParts) -> None:
    ids = [f"req_05{number:032x}" for number in range(3)]
    for request_id in ids:
        await parts.store.create(make_envelope(id=request_id, reply_to="amq.gen-x"))
        await parts.store.cancel(request_id)
    cursors = [cursor for cursor, _ in await parts.upkeep.outbox(5, 10)]

    async def left() -> tuple[int, int]:
        lengths = [await run(parts, ids[0], "XLEN", key) for key in ("outbox", "outbox:replies")]
        return lengths[0], lengths[1]

    await parts.upkeep.outbox_done(5, cursors[2])
    assert await left() == (3, 3), "the other has not begun"
    await parts.upkeep.outbox_done(5, cursors[0], "webhooks")
    assert await left() == (2, 3)
    await parts.upkeep.outbox_done(5, cursors[2], "webhooks")
    assert await left() == (0, 3)
    replies = await parts.upkeep.outbox(5, 10, "replies")
    await parts.upkeep.outbox_done(5, replies[1][0], "replies")
    assert await left() == (0, 1)


async def test_a_line_that_it_has_ended_is_gathered(parts: RedisParts) -> None:
    """Its worker may get a line while the first of ours run a batch; it knows nothing of bits."""
    batch = make_batch()
    await parts.batches.create(batch)
    held = await parts.batches.hold(batch.id)
    assert held is not None
    await parts.batches.validated(batch.id, held.token, Validated(2, "m"), time.time())
    lines = [make_line(batch, number) for number in range(2)]
    await parts.batches.feed(batch.id, held.token, lines)
    ended = lines[1].id
    await run(parts, ended, "HSET", f"rec:{ended}", "status", "completed", "expires_at", "9e9")
    await run(parts, ended, "SET", f"res:{ended}", encode_result(a_result()))
    for _ in range(2):
        assert list(await parts.batches.lost(batch.id)) == []
        assert [each.line for each in await parts.batches.ends(batch.id, 9, 9_999)] == [1]
    assert list(await parts.batches.unended(batch.id)) == [0]
