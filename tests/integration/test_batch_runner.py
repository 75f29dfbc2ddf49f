"""A batch from its file to its end, by the runner, on the embedded engine."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from broker.embedded.engine import EmbeddedEngine
from broker.ports import Engine, Served
from schemas.batches import BatchStatus
from schemas.config import Config
from schemas.ids import line_id
from schemas.priority import Lane, Priority
from schemas.webhooks import RequestWebhook, write_webhook
from tests.fakes.batch_runs import (
    BAD,
    GOOD,
    IGNORED,
    MODELS,
    files_of,
    hand_for,
    lines_for,
    submit,
    text_of,
    told,
    until,
)
from tests.fakes.faulty_engine import FaultyEngine, Point
from tests.fakes.posts import make_endpoint
from tests.integration.embedded import running
from workers.batches import feeding
from workers.batches.runners import Runners
from workers.batches.running import BatchRun


def config_of(models: Sequence[str] = MODELS, window: int = 1_000, **more: Any) -> Config:
    """Return a configuration that serves these models."""
    targets = {"targets": [{"backend": "b"}]}
    plain = {
        "backends": {"b": {"urls": ["http://127.0.0.1:9/v1"]}},
        "models": models if models == "auto" else dict.fromkeys(models, targets),
        "batches": {"window": window},
    }
    return Config.model_validate(plain | more)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """One whose lines are ended by a hand."""
    async with running(tmp_path) as engine, hand_for(engine):
        yield engine


@asynccontextmanager
async def run(engine: Engine, config: Config | None = None) -> AsyncIterator[Runners]:
    """Run its batches until the end of the block."""
    runners = Runners(engine, config or config_of())
    runners.start()
    try:
        yield runners
    finally:
        await runners.stop()


async def test_every_line_is_in_one_of_the_files(engine: Engine) -> None:
    batch = await submit(engine, lines_for([GOOD, BAD, GOOD]), metadata={"night": "7"})
    async with run(engine):
        batch = await told(engine, batch)
    output, errors = await files_of(engine, batch)
    assert (batch.status, batch.total, batch.model) == (BatchStatus.COMPLETED, 3, None)
    assert (set(output), set(errors)) == ({"c0", "c2"}, {"c1"})
    assert output["c0"]["response"]["body"] == {"id": line_id(batch.id, 0)}
    assert errors["c1"]["response"]["status_code"] == 400
    assert errors["c1"]["error"] == {"code": "backend_failed", "message": "no"}
    assert [*batch.times] == [*BatchStatus][:4]
    assert batch.rate > 0


async def test_a_bad_file_fails_with_its_mistakes(engine: Engine) -> None:
    lines = [b"{}", *lines_for([GOOD, "unknown"])] + [b"no json"] * 120
    batch = await submit(engine, lines)
    async with run(engine):
        batch = await told(engine, batch)
    assert batch.status is BatchStatus.FAILED
    assert (batch.counts.ended, batch.made, batch.output_file_id) == (0, 0, None)
    assert [(each.line, each.code) for each in batch.errors[:3]] == [
        (1, "missing_custom_id"),
        (3, "model_not_found"),
        (4, "invalid_json_line"),
    ]
    assert len(batch.errors) == 101
    assert batch.errors[100].code == "more_mistakes"
    assert "22 more" in batch.errors[100].message
    told_lines = (await text_of(engine, batch.error_file_id)).splitlines()
    assert len(told_lines) == 122


async def test_a_file_that_is_gone_before_it_is_read(engine: Engine) -> None:
    batch = await submit(engine, lines_for([GOOD]))
    await engine.files.delete(batch.terms.input_file_id)
    async with run(engine):
        batch = await told(engine, batch)
    assert batch.status is BatchStatus.FAILED
    assert [each.code for each in batch.errors] == ["input_file_missing"]


@pytest.mark.parametrize("order", ["completion", "input"])
async def test_a_file_that_goes_meanwhile_leaves_what_has_ended(engine: Engine, order: str) -> None:
    lines = [GOOD, IGNORED, IGNORED, GOOD, GOOD, GOOD, GOOD]
    batch = await submit(engine, lines_for(lines), order=order)
    config = config_of(window=4)
    async with run(engine, config):
        await until(engine, batch, lambda now: now.fed.line >= 4)
    await engine.files.delete(batch.terms.input_file_id)
    async with run(engine, config), hand_for(engine, [GOOD]):
        for line in (1, 2):
            await engine.store.cancel(line_id(batch.id, line))
        batch = await told(engine, batch)
    assert batch.status is BatchStatus.FAILED
    assert [each.code for each in batch.errors] == ["input_file_missing"]
    output, errors = await files_of(engine, batch)
    assert output.keys() >= {"c0", "c3"}
    assert errors.keys() == {"c1", "c2"}
    assert batch.counts.ended == batch.made


async def test_no_more_than_the_window_is_in_the_queues(engine: Engine) -> None:
    batch = await submit(engine, lines_for([IGNORED] * 20))
    async with run(engine, config_of(window=8)):
        batch = await until(engine, batch, lambda now: now.made >= 8)
        for _ in range(3):
            await engine.store.cancel(line_id(batch.id, 0))
        batch = await until(engine, batch, lambda now: now.counts.failed == 1)
        assert batch.made <= 9


async def test_a_tenants_batches_share_what_it_may_queue(engine: Engine) -> None:
    config = config_of(tenants={"acme": {"models": ["*"], "max_queued": 20}})
    batches = [await submit(engine, lines_for([IGNORED] * 30)) for _ in range(2)]
    async with run(engine, config):
        for batch in batches:
            await until(engine, batch, lambda now: now.made >= 5)
        assert await engine.store.open_count("acme") == 10


async def test_its_first_lines_are_in_the_open_lane_and_the_others_in_the_flood(
    engine: Engine,
) -> None:
    batch = await submit(engine, lines_for([IGNORED] * 40))
    async with run(engine):
        await until(engine, batch, lambda now: now.fed.line == 40)
    depths = {each.lane: each.waiting for each in await engine.queue.survey([IGNORED])}
    assert (depths[Lane.OPEN], depths[Lane.FLOOD]) == (32, 8)


async def test_a_pause_lets_what_is_fed_end_and_feeds_nothing_more(engine: Engine) -> None:
    batch = await submit(engine, lines_for([IGNORED] * 3 + [GOOD] * 9))
    async with run(engine, config_of(window=4)):
        await until(engine, batch, lambda now: now.made == 4)
        await engine.batches.pause(batch.id, paused=True)
        for line in range(3):
            await engine.store.cancel(line_id(batch.id, line))
        batch = await until(engine, batch, lambda now: now.counts.ended == now.made)
        made = batch.made
        assert made < 12
        await engine.batches.pause(batch.id, paused=False)
        batch = await told(engine, batch)
    assert (batch.status, batch.counts.ended) == (BatchStatus.COMPLETED, 12)


async def test_a_model_that_is_removed_fails_its_lines_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_GONE_AFTER_S", 0.0)
    batch = await submit(engine, lines_for([GOOD, BAD, IGNORED, GOOD, IGNORED]))
    await engine.batches.pause(batch.id, paused=True)
    async with run(engine):
        await until(engine, batch, lambda now: now.status is BatchStatus.IN_PROGRESS)
    await engine.batches.pause(batch.id, paused=False)
    async with run(engine, config_of([GOOD, BAD])):
        batch = await told(engine, batch)
    output, errors = await files_of(engine, batch)
    assert (set(output), set(errors)) == ({"c0", "c3"}, {"c1", "c2", "c4"})
    assert errors["c4"]["error"]["code"] == "model_removed"
    assert await engine.queue.depth(IGNORED, Priority.BATCH) == 0


async def test_a_model_is_not_removed_that_comes_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_GONE_LOOK_S", 0.01)
    batch = await submit(engine, lines_for([GOOD, BAD, GOOD]))
    await engine.batches.pause(batch.id, paused=True)
    async with run(engine):
        await until(engine, batch, lambda now: now.status is BatchStatus.IN_PROGRESS)
    await engine.batches.pause(batch.id, paused=False)
    async with run(engine, config_of([GOOD])) as runners:
        assert (await until(engine, batch, lambda now: now.made > 0)).made == 1
        runners.apply(config_of())
        batch = await told(engine, batch)
    _, errors = await files_of(engine, batch)
    assert errors["c1"]["error"]["code"] == "backend_failed"


async def test_where_backends_list_their_models_one_that_is_away_is_waited_for(
    engine: Engine,
) -> None:
    config = config_of(models="auto")
    await engine.members.beat("worker", [Served(GOOD, 1), Served(BAD, 1)])
    batch = await submit(engine, lines_for([GOOD, BAD]))
    await engine.batches.pause(batch.id, paused=True)
    async with run(engine, config):
        await until(engine, batch, lambda now: now.status is BatchStatus.IN_PROGRESS)
    await engine.members.beat("worker", [Served(GOOD, 1)])
    await engine.batches.pause(batch.id, paused=False)
    async with run(engine, config):
        batch = await told(engine, batch)
    _, errors = await files_of(engine, batch)
    assert errors["c1"]["error"]["code"] == "backend_failed"


async def test_what_is_cancelled_while_it_validates_has_ended(engine: Engine) -> None:
    batch = await submit(engine, lines_for([GOOD]))
    await engine.batches.cancel(batch.id, time.time())
    async with run(engine):
        batch = await told(engine, batch)
    assert (batch.status, batch.made, batch.counts.ended) == (BatchStatus.CANCELLED, 0, 0)


async def test_what_is_found_after_its_deadline_tells_of_every_line(engine: Engine) -> None:
    now = time.time()
    batch = await submit(engine, lines_for([GOOD] * 250), created_at=now - 9, deadline=now - 2)
    async with run(engine):
        batch = await told(engine, batch)
    output, errors = await files_of(engine, batch)
    assert (batch.status, batch.made, output) == (BatchStatus.EXPIRED, 0, {})
    assert {line["error"]["code"] for line in errors.values()} == {"batch_expired"}
    assert len(errors) == 250
    assert await engine.batches.failed_lines(batch.id) == b"\xff" * 31 + b"\xc0"


async def test_its_end_is_told_to_whoever_wants_to_know(engine: Engine) -> None:
    """Once, also when somebody dies in between."""
    wants, too_late = make_endpoint(event_types=("batch.completed",)), time.time() + 3_600
    for endpoint in (
        wants,
        make_endpoint(event_types=("batch.failed", "request.completed")),
        make_endpoint(event_types=("batch.completed",), tenant="other"),
        make_endpoint(event_types=("batch.completed",), created_at=too_late),
    ):
        assert await engine.webhooks.save(endpoint, None)
    own = write_webhook(RequestWebhook(url="https://own.example/"))
    batch = await submit(engine, lines_for([GOOD, BAD]), tenant=wants.tenant, webhook=own)
    crashing = FaultyEngine(engine, batch.id, Point("batches.told", 1, "before").choose)
    with capture_logs():
        async with run(crashing.as_engine()):
            batch = await told(engine, batch)
    posts = await engine.webhooks.due(100, 60.0, 100)
    assert {post.endpoint for post in posts} == {wants.id, None}
    assert len(posts) == 2
    assert {post.event_type for post in posts} == {"batch.completed"}
    event = json.loads(posts[0].event)
    assert event["data"] == {
        "id": batch.id,
        "object": "batch",
        "status": "completed",
        "request_counts": {"total": 2, "completed": 1, "failed": 1},
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
    }


async def test_one_that_cannot_be_run_does_not_stop_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await submit(engine, lines_for([GOOD]))
    carry = BatchRun.carry

    async def failing(run: BatchRun) -> None:
        if run.batch_id == bad.id and not fixed:
            raise KeyError("a bug")
        await carry(run)

    monkeypatch.setattr(BatchRun, "carry", failing)
    fixed: list[bool] = []
    with capture_logs() as logs:
        async with run(engine):
            good = [await submit(engine, lines_for([GOOD, BAD])) for _ in range(3)]
            for batch in good:
                assert (await told(engine, batch)).status is BatchStatus.COMPLETED
            fixed.append(True)
            assert (await told(engine, bad)).status is BatchStatus.COMPLETED
    assert "the run of a batch has failed" in {log["event"] for log in logs}


@pytest.mark.parametrize(
    "dies_at", [Point("batches.feed", 1, "after"), Point("batches.fed", 1, "before")]
)
async def test_lines_that_fill_the_window_are_fed_again(
    engine: EmbeddedEngine, dies_at: Point
) -> None:
    """Their messages may not have been confirmed: nothing would end to make room for them."""
    batch = await submit(engine, lines_for([IGNORED] * 8))
    crashing = FaultyEngine(engine, batch.id, dies_at.choose)
    with capture_logs():
        async with run(crashing.as_engine(), config_of(window=6)):
            batch = await until(engine, batch, lambda now: now.fed.line == 6)
    assert crashing.calls[dies_at.name] >= dies_at.number
    assert batch.made == 6
