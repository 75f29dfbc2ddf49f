"""Batches on whole workers, beside a backend, on both engines; and from one worker to the next."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from broker.engine import open_engine
from broker.ports import Engine, Selection
from broker.redis_store.keys import Keys
from schemas.batches import Batch, BatchStatus
from schemas.config import Config
from schemas.ids import line_id
from schemas.large import LARGE_BYTES
from schemas.lifecycle import Status
from tests.conformance.steps import eventually
from tests.fakes.backend import Backend
from tests.fakes.batch_runs import (
    GOOD,
    IGNORED,
    files_of,
    hand_for,
    lines_for,
    submit,
    told,
    until,
)
from workers.batches import running as running_batches
from workers.batches.runners import Runners
from workers.service import WorkerService
from workers.settlement import ended

_DUMP = """
local kept = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  kept[#kept + 1] = key
  kept[#kept + 1] = redis.call('DUMP', key)
end
return kept
"""
_RESTORE = """
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  redis.call('DEL', key)
end
for place = 2, #ARGV, 2 do
  redis.call('RESTORE', ARGV[place], 0, ARGV[place + 1])
end
"""


def config_of(server: dict[str, Any], *models: str, url: str = "http://127.0.0.1:9/v1") -> Config:
    """Return a configuration of one backend that serves these models."""
    target = {"targets": [{"backend": "b"}], "retry": {"max_attempts": 1}}
    return Config.model_validate(
        {
            "server": server,
            "backends": {"b": {"urls": [url], "concurrency": 8}},
            "models": dict.fromkeys(models, target),
            "batches": {"window": 50},
        }
    )


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Engine]:
    engine = open_engine(config)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def working(engine: Engine, config: Config) -> AsyncIterator[WorkerService]:
    worker = WorkerService(engine, config)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def test_a_batch_of_several_models_runs_to_its_end(server: dict[str, Any]) -> None:
    async with Backend() as backend:
        models = ["echo", "slow-50", "status-400", "status-500"]
        config = config_of(server, *models, url=backend.url)
        async with opened(config) as engine, working(engine, config):
            batch = await told(engine, await submit(engine, lines_for(models * 30)))
            letters = await engine.dead_letters.select(Selection(None), None, 10)
            output, errors = await files_of(engine, batch)
    assert batch.status is BatchStatus.COMPLETED
    assert output.keys() | errors.keys() == {f"c{number}" for number in range(120)}
    assert [batch.counts.completed, batch.counts.failed] == [60, 60]
    assert batch.usage.input_tokens > 0
    assert errors["c2"]["response"]["status_code"] == 400
    assert errors["c2"]["response"]["body"]["error"]["message"] == "fake says no"
    assert errors["c3"]["error"]["code"] == "attempts_exhausted"
    # A line can be tried again from its file.
    assert letters == []
    # Each was called once, under the id of its line.
    ids = [call.id for call in backend.ledger.calls]
    assert sorted(ids) == [line_id(batch.id, number) for number in range(120)]


async def test_what_runs_when_a_batch_is_cancelled_is_told(server: dict[str, Any]) -> None:
    async with Backend() as backend:
        config = config_of(server, "slow-60000", url=backend.url)
        async with opened(config) as engine, working(engine, config):
            batch = await submit(engine, lines_for(["slow-60000"] * 30))
            await until(engine, batch, lambda _now: len(backend.ledger.calls) == 8)
            await engine.batches.cancel(batch.id, time.time())
            batch = await told(engine, batch)
            output, errors = await files_of(engine, batch)
            assert await engine.store.open_count(batch.terms.tenant) == 0
    assert (batch.status, output) == (BatchStatus.CANCELLED, {})
    assert batch.counts.failed == batch.counts.cancelled == len(errors) == 8
    assert {line["error"]["code"] for line in errors.values()} == {"batch_cancelled"}


async def test_large_lines_and_answers_lie_in_blobs_meanwhile(server: dict[str, Any]) -> None:
    """The answer of `echo` is small; that of a hand is as large as it is."""
    config = config_of(server, GOOD, IGNORED)
    padding = "x" * LARGE_BYTES
    lines = [json.loads(line) for line in lines_for([IGNORED, GOOD])]
    for line in lines:
        line["body"]["messages"][0]["content"] = padding
    async with opened(config) as engine:
        runners = Runners(engine, config)
        runners.start()
        batch = await submit(engine, [json.dumps(line).encode() for line in lines])
        await until(engine, batch, lambda now: now.made == 2)
        kept = [key async for key in engine.blobs.keys("until/")]
        assert len(kept) == 2
        assert all(key.endswith(".body") for key in kept)
        async with hand_for(engine, [GOOD], answer_bytes=LARGE_BYTES + 1):
            await engine.store.cancel(line_id(batch.id, 0))
            batch = await told(engine, batch)
        await runners.stop()
        output, _ = await files_of(engine, batch)
    assert len(output["c1"]["response"]["body"]["padding"]) > LARGE_BYTES


@pytest.mark.realservers
async def test_one_worker_goes_on_where_another_has_stopped(
    amqp_url: str, redis_url: str, tmp_path: Path
) -> None:
    server = {
        "data_dir": str(tmp_path),
        "amqp_url": amqp_url,
        "redis_url": redis_url,
        "namespace": f"t{secrets.token_hex(4)}",
    }
    async with Backend() as backend, AsyncExitStack() as stack:
        config = config_of(server, "slow-50", url=backend.url)
        engines = [await stack.enter_async_context(opened(config)) for _ in range(3)]
        batch = await submit(engines[0], lines_for(["slow-50"] * 200))
        *others, last = engines
        ended = 0
        for engine in others:
            async with working(engine, config) as worker:
                found = await until(engine, batch, _has_more_than(ended))
                ended = found.counts.ended
                await worker.drain()
        assert ended < 200
        async with working(last, config):
            batch = await told(last, batch)
        output, errors = await files_of(last, batch)
    assert (len(output), errors) == (200, {})


@pytest.mark.realservers
async def test_a_line_without_a_record_is_fed_again(
    amqp_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_batches, "STALLED_S", 0.3)
    namespace = f"t{secrets.token_hex(4)}"
    server = {
        "data_dir": str(tmp_path),
        "amqp_url": amqp_url,
        "redis_url": redis_url,
        "namespace": namespace,
    }
    config = config_of(server, GOOD, IGNORED)
    async with opened(config) as engine, redis.from_url(redis_url) as client:
        runners = Runners(engine, config)
        runners.start()
        batch = await submit(engine, lines_for([IGNORED, GOOD, IGNORED]))
        await until(engine, batch, lambda now: now.made == 3)
        lost = line_id(batch.id, 1)
        assert await client.delete(Keys(namespace).record(lost))
        await eventually(lambda: _is_there(engine, lost))
        async with hand_for(engine, [GOOD]):
            for line in (0, 2):
                await engine.store.cancel(line_id(batch.id, line))
            batch = await told(engine, batch)
        await runners.stop()
        output, errors = await files_of(engine, batch)
    assert (set(output), set(errors)) == ({"c1"}, {"c0", "c2"})


@pytest.mark.realservers
async def test_a_rollback_of_redis_loses_and_doubles_no_line(
    amqp_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runner lives on, with what it remembers of steps that are taken back."""
    monkeypatch.setattr(running_batches, "STALLED_S", 0.3)
    namespace = f"t{secrets.token_hex(4)}"
    server = {
        "data_dir": str(tmp_path),
        "amqp_url": amqp_url,
        "redis_url": redis_url,
        "namespace": namespace,
    }
    config = config_of(server, GOOD)
    async with opened(config) as engine, redis.from_url(redis_url) as client, hand_for(engine):
        runners = Runners(engine, config)
        runners.start()
        batch = await submit(engine, lines_for([GOOD] * 1_000))
        keys = Keys(namespace).record_prefix(Keys(namespace).tag(batch.id)).replace("rec:", "*")
        await until(engine, batch, _has_more_than(100))
        kept = await client.eval(_DUMP, 0, keys)
        before = await until(engine, batch, _has_more_than(400))
        await client.eval(_RESTORE, 0, keys, *kept)
        assert before.counts.ended > 400
        # The messages of some of these are gone: a keeper would end them, after minutes.
        for line in await engine.batches.unended(batch.id):
            record = await engine.store.get(line_id(batch.id, line))
            if record is not None and not record.terminal:
                await engine.upkeep.end(record, ended(Status.FAILED, "copy_lost"))
        batch = await told(engine, batch)
        await runners.stop()
        output, errors = await files_of(engine, batch)
    assert batch.status is BatchStatus.COMPLETED
    assert output.keys() | errors.keys() == {f"c{number}" for number in range(1_000)}
    assert len(errors) <= 100


def _has_more_than(ended: int) -> Callable[[Batch], bool]:
    return lambda now: now.counts.ended > ended


async def _is_there(engine: Engine, request_id: str) -> bool:
    return await engine.store.get(request_id) is not None
