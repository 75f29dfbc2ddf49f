"""A backlog of any length: memory stays flat, the order holds, parked ones are not in the way."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import apsw

from broker.claims import Run
from broker.embedded.engine import EmbeddedEngine
from broker.embedded.line import WINDOW
from broker.embedded.rows import Row
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import rows, running

WAITING = 100_000
NORMAL = Priority.NORMAL


async def multiply(engine: EmbeddedEngine, envelope_id: str, copies: int, parked: int) -> None:
    """Put many younger copies of a request into the file."""

    def insert(file: apsw.Connection) -> None:
        columns = ", ".join(name for name in Row._fields if name not in ("seq", "id", "parked"))
        file.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            f" INSERT INTO requests (id, parked, {columns})"
            f" SELECT printf('req_0%033x', ? + i), ?, {columns} FROM requests, n WHERE id = ?",
            (copies, parked * copies, parked, envelope_id),
        )
        file.execute(
            "INSERT INTO envelopes SELECT q.seq, e.data FROM requests q, envelopes e"
            " WHERE q.seq > e.seq AND q.seq < e.seq + 500 AND q.parked = 0"
        )

    await engine._database.write(insert)


async def test_memory_does_not_grow_with_what_waits(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        oldest = make_envelope()
        await engine.store.create(oldest)
        await multiply(engine, oldest.id, WAITING, parked=0)
        tracemalloc.start()
        try:
            inbox = Inbox()
            await engine.queue.consume("m", NORMAL, Lane.OPEN, 20, inbox)
            for turn in range(100):
                delivery = (await inbox.count(turn + 1))[turn]
                await engine.store.cancel(delivery.envelope.id)
                await delivery.ack()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        line = engine._queue._lines["m", NORMAL, Lane.OPEN]
        assert len(line.window) <= WINDOW
        assert peak < 3_000_000
        assert await engine.queue.depth("m", NORMAL) > WAITING - 200


async def test_the_next_ones_are_found_without_reading_the_others(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        plan = await rows(
            engine,
            "EXPLAIN QUERY PLAN SELECT accepted_at, seq, id, generation FROM requests"
            " WHERE status = 'queued' AND parked = 0 AND model = 'm' AND priority = 'normal'"
            " AND lane = 'open'"
            " ORDER BY accepted_at, seq LIMIT 256",
        )
        steps = [step[-1] for step in plan]
        assert steps == ["SEARCH requests USING INDEX waiting (model=? AND priority=? AND lane=?)"]
        for query, index in (
            (
                "SELECT min(not_before) FROM requests WHERE status = 'queued' AND parked = 1",
                "parked",
            ),
            ("SELECT * FROM requests WHERE partition = 1 AND next_check <= 5", "open_checks"),
            ("SELECT seq FROM requests WHERE gone_at <= 5", "gone"),
            ("SELECT seq FROM results WHERE expires_at <= 5", "results_expiry"),
        ):
            plan = await rows(engine, f"EXPLAIN QUERY PLAN {query}")
            assert f"INDEX {index}" in plan[0][-1], plan


async def test_the_columns_are_in_the_order_of_the_rows(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        names = await rows(engine, "SELECT name FROM pragma_table_info('requests')")
        assert tuple(name for (name,) in names) == Row._fields


async def test_parked_requests_are_not_in_the_way(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        parked = make_envelope(accepted_at=1.0, not_before=time.time() + 3_600)
        await engine.store.create(parked)
        await multiply(engine, parked.id, 2_000, parked=1)
        ready = make_envelope()
        await engine.store.create(ready)
        inbox = Inbox()
        await engine.queue.consume("m", NORMAL, Lane.OPEN, 3, inbox)
        await inbox.count(1, timeout_s=5)
        assert inbox.ids == [ready.id]
        assert await engine.queue.depth("m", NORMAL) == 0
        assert not await engine.queue.tiers_empty()


async def test_a_requeued_delivery_takes_its_old_place(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        now = time.time()
        ages = [make_envelope(accepted_at=now + number) for number in range(4)]
        for envelope in ages:
            await engine.store.create(envelope)
        inbox = Inbox()
        await engine.queue.consume("m", NORMAL, Lane.OPEN, 1, inbox)
        [first] = await inbox.count(1)
        await first.requeue()
        await inbox.count(2)
        assert inbox.ids == [ages[0].id] * 2


async def test_a_retry_takes_its_place_by_age_before_the_younger(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        now = time.time()
        ages = [make_envelope(accepted_at=now + number) for number in range(4)]
        for envelope in ages:
            await engine.store.create(envelope)
        inbox = Inbox()
        await engine.queue.consume("m", NORMAL, Lane.OPEN, 1, inbox)
        [first] = await inbox.count(1)
        assert await engine.store.claim(ages[0], make_slot()) == Run(1, 0)
        assert await engine.store.requeue(ages[0].next_generation(0.0), 1)
        await first.ack()
        await inbox.count(2)
        assert inbox.got[1].envelope.generation == 1
        assert inbox.ids == [ages[0].id] * 2


async def test_a_request_nobody_published_is_found_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        inbox = Inbox()
        await engine.queue.consume("m", NORMAL, Lane.OPEN, 5, inbox)
        published = make_envelope()
        await engine.store.create(published)
        await engine.queue.publish(published)
        await inbox.count(1)
        silent = make_envelope()
        await engine.store.create(silent)
        await inbox.count(2, timeout_s=8)
        assert inbox.ids == [published.id, silent.id]
        for envelope in (published, silent):
            await engine.store.claim(envelope, make_slot())
            assert (await engine.store.finish(envelope, make_result(), 1)).won
