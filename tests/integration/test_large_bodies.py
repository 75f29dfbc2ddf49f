"""Bodies and results in blobs, step by step: rows stay small, and time passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker import large_bodies
from broker.blobs.opening import open_blobs
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Validated
from schemas.blob_config import BlobsConfig
from schemas.errors import BlobMissing, BlobsUnavailable
from schemas.large import LARGE_BYTES, LETTER_KEPT_S, body_key, result_key
from schemas.record import Record
from schemas.request import MAX_INLINE_BODY_BYTES
from tests.fakes.batches import make_batch, make_line
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import rows
from workers import keeper as keeping
from workers.keeper import Keeper

KEPT_S = 86_400.0
BODY = b'{"model": "m", "input": "' + b"x" * LARGE_BYTES + b'"}'


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.realservers)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """An engine on each place of blobs."""
    s3 = request.getfixturevalue("s3") if request.param == "s3" else None
    blobs = open_blobs(BlobsConfig(s3=s3), tmp_path)
    engine = EmbeddedEngine(tmp_path / "data", KEPT_S, blobs=blobs)
    await engine.start()
    yield engine
    await engine.stop()


async def keys(engine: EmbeddedEngine) -> list[str]:
    return [key async for key in engine.blobs.keys("")]


async def run_to_its_end(engine: EmbeddedEngine, **result: Any) -> Record:
    """Accept a large Responses request, end it with this result, and return its record."""
    envelope = make_envelope(endpoint="/v1/responses", body=BODY, model_span=(10, 13))
    apart = await large_bodies.set_aside(engine, envelope, KEPT_S)
    assert await engine.store.create(apart)
    await engine.store.claim(apart, make_slot())
    kept = await large_bodies.result_aside(
        engine, apart.id, 1, make_result(**result), KEPT_S, dead_letter=False
    )
    assert (await engine.store.finish(apart, kept, 1)).won
    record = await engine.store.get(apart.id)
    assert record is not None
    return record


@pytest.mark.parametrize("size", [0, LARGE_BYTES])
async def test_what_is_small_stays_where_it_was(engine: EmbeddedEngine, size: int) -> None:
    envelope = make_envelope(body=b"x" * size)
    assert await large_bodies.set_aside(engine, envelope, KEPT_S) is envelope
    result = make_result(body=b"x" * size)
    assert await large_bodies.result_aside(engine, "r", 1, result, 60, dead_letter=True) is result
    assert await large_bodies.with_body(engine, envelope) is envelope
    assert await keys(engine) == []


async def test_rows_stay_small_and_everything_is_found(engine: EmbeddedEngine) -> None:
    answer = b'"' + b"y" * LARGE_BYTES + b'"'
    record = await run_to_its_end(engine, body=answer)
    largest = "SELECT max(length(data)) FROM results UNION SELECT max(length(body)) FROM asked"
    assert max(row[0] for row in await rows(engine, largest)) < 1_000
    assert record.result is not None
    assert (record.result.body, record.result.body_bytes) == (None, len(answer))
    whole = await large_bodies.whole(engine, record)
    assert whole.result is not None
    assert whole.result.body == answer
    assert await large_bodies.asked_of(engine, record.id) == BODY
    assert await large_bodies.inlined(engine, record) == whole


async def test_a_request_object_holds_a_mib(engine: EmbeddedEngine) -> None:
    record = await run_to_its_end(engine, body=b"y" * (MAX_INLINE_BODY_BYTES + 1))
    assert await large_bodies.inlined(engine, record) == record
    assert await large_bodies.whole(engine, record) != record


async def test_what_is_forgotten_leaves_no_blob(engine: EmbeddedEngine) -> None:
    record = await run_to_its_end(engine, body=b"y" * (LARGE_BYTES + 1))
    assert len(await keys(engine)) == 2
    await large_bodies.forget(engine, record.id)
    assert await keys(engine) == []
    assert await engine.store.get(record.id) is None


async def test_a_line_that_is_forgotten_is_gathered_all_the_same(engine: EmbeddedEngine) -> None:
    batch = make_batch(endpoint="/v1/responses")
    assert await engine.batches.create(batch)
    held = await engine.batches.hold(batch.id)
    assert held is not None
    assert await engine.batches.validated(batch.id, held.token, Validated(1, "m"), time.time())
    line = make_line(batch, 0)
    assert await engine.batches.feed(batch.id, held.token, [line]) == [True]
    await engine.store.claim(line, make_slot())
    answer = b'"' + b"y" * LARGE_BYTES + b'"'
    kept = await large_bodies.result_aside(
        engine, line.id, 1, make_result(body=answer), KEPT_S, dead_letter=True
    )
    assert (await engine.store.finish(line, kept, 1)).won
    await large_bodies.forget(engine, line.id)
    assert await engine.store.get(line.id) is None
    (ended,) = await engine.batches.ends(batch.id, 10, 1_000)
    whole = await large_bodies.whole(engine, ended.record)
    assert whole.result is not None
    assert whole.result.body == answer


async def test_a_blob_that_is_gone_and_one_that_is_cut_are_missing(engine: EmbeddedEngine) -> None:
    envelope = make_envelope(body=BODY)
    apart = await large_bodies.set_aside(engine, envelope, KEPT_S)
    assert await large_bodies.with_body(engine, apart) == envelope
    assert apart.body_blob is not None
    await engine.blobs.put(apart.body_blob, BODY[:-1])
    with pytest.raises(BlobMissing):
        await large_bodies.with_body(engine, apart)
    await large_bodies.drop_body(engine, apart)
    with pytest.raises(BlobMissing):
        await large_bodies.with_body(engine, apart)
    with pytest.raises(BlobMissing):
        await large_bodies.carried_over(engine, apart, KEPT_S)


async def test_a_redriven_request_has_a_copy_that_lasts(engine: EmbeddedEngine) -> None:
    letter = await large_bodies.set_aside(engine, make_envelope(body=BODY), KEPT_S)
    new_id = make_envelope().id
    again = letter.redriven(new_id, time.time() + LETTER_KEPT_S)
    again = await large_bodies.carried_over(engine, again, KEPT_S)
    assert again.body_blob is not None
    assert letter.body_blob is not None
    assert again.id in again.body_blob
    assert again.body_blob > letter.body_blob, "a later hour"
    await engine.blobs.delete([letter.body_blob])
    assert (await large_bodies.with_body(engine, again)).body == BODY


async def test_a_result_that_cannot_be_put_aside_is_kept_whole(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: object) -> int:
        raise BlobsUnavailable("away")

    monkeypatch.setattr(engine.blobs, "put", away)
    record = await run_with_small_body(engine)
    assert record.result is not None
    assert record.result.body == b"y" * (LARGE_BYTES + 1)


async def run_with_small_body(engine: EmbeddedEngine) -> Record:
    envelope = make_envelope()
    assert await engine.store.create(envelope)
    await engine.store.claim(envelope, make_slot())
    result = make_result(body=b"y" * (LARGE_BYTES + 1))
    kept = await large_bodies.result_aside(engine, envelope.id, 1, result, 60, dead_letter=False)
    await engine.store.finish(envelope, kept, 1)
    record = await engine.store.get(envelope.id)
    assert record is not None
    return record


async def test_only_what_is_past_is_dropped(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_bodies, "_DROPPED_AT_ONCE", 2)
    hour = int(time.time() // 3_600)
    past = [body_key(hour - number, f"req_{number}", "0a") for number in range(5)]
    ahead = [result_key(hour + 1, "req_1", 1), body_key(hour + 900, "req_2", "0a")]
    others = ["files/file-1", "batches/batch_1/output/1-1"]
    for key in (*past, *ahead, *others):
        await engine.blobs.put(key, b"x")
    assert await large_bodies.drop_past(engine, time.time()) == len(past)
    assert await keys(engine) == sorted([*ahead, *others])
    assert await large_bodies.drop_past(engine, time.time()) == 0


async def test_the_keeper_drops_once_an_hour_where_it_holds_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddedEngine(tmp_path, KEPT_S)
    await engine.start()
    key = body_key(7, "req_1", "0a")
    await engine.blobs.put(key, b"x")
    monkeypatch.setattr(keeping, "_SWEEP_S", 0.01)
    keeper = Keeper(engine)
    keeper.start()
    while await keys(engine):  # noqa: ASYNC110  because the engine tells no test
        await asyncio.sleep(0.01)
    await engine.blobs.put(key, b"x")
    hour = int(time.time() // 3_600)
    assert await keeper._drop_blobs(hour) == hour
    assert await keys(engine) == [key], "it has been done in this hour"
    await keeper.stop()
    await engine.stop()


async def test_another_process_s_lease_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddedEngine(tmp_path, KEPT_S)
    await engine.start()

    async def held_elsewhere(_partition: int) -> bool:
        return False

    monkeypatch.setattr(engine.upkeep, "hold", held_elsewhere)
    await engine.blobs.put(body_key(7, "req_1", "0a"), b"x")
    assert await Keeper(engine)._drop_blobs(0) == 0
    assert len(await keys(engine)) == 1
    await engine.stop()
