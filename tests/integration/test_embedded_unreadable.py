"""A stored envelope that cannot be read: its request is set aside, the others go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from broker.embedded.engine import EmbeddedEngine
from schemas.envelope import Envelope
from schemas.errors import StoreUnavailable
from schemas.ids import partition_of
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.integration.embedded import rows, running

NORMAL = Priority.NORMAL


async def spoil(engine: EmbeddedEngine, envelope: Envelope) -> None:
    """Write what no version can read over the stored envelope."""

    def overwrite(file: apsw.Connection) -> None:
        of_id = "(SELECT seq FROM requests WHERE id = ?)"
        file.execute(f"UPDATE envelopes SET data = x'ff00' WHERE seq = {of_id}", (envelope.id,))

    await engine._database.write(overwrite)


async def test_it_ends_as_a_dead_letter_and_the_others_are_delivered(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        envelopes = [make_envelope() for _ in range(3)]
        for envelope in envelopes:
            await engine.store.create(envelope)
        first, bad, last = envelopes
        await spoil(engine, bad)
        waiting = asyncio.create_task(engine.store.wait(bad.id, 10))
        inbox = Inbox()
        with capture_logs() as logs:
            await engine.queue.consume("m", NORMAL, Lane.OPEN, 5, inbox)
            await inbox.count(2)
            record = await waiting
        assert inbox.ids == [first.id, last.id]
        assert record is not None
        assert record.status is Status.FAILED
        assert record.result is not None
        assert record.result.code == "dead_lettered"
        assert [line["request"] for line in logs if line["log_level"] == "error"] == [bad.id]
        [(_, entry)] = await engine.upkeep.outbox(partition_of(bad.id), 10)
        assert (entry.request_id, entry.status) == (bad.id, Status.FAILED)
        kept = "SELECT q.id FROM envelopes e JOIN requests q ON q.seq = e.seq WHERE data = x'ff00'"
        assert await rows(engine, kept) == [(bad.id,)], "for whoever wants to know why"
        assert await engine.queue.depth("m", NORMAL) == 0


async def test_it_is_tried_again_where_its_end_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as engine:
        bad, worse, good = (make_envelope() for _ in range(3))
        for envelope in (bad, worse, good):
            await engine.store.create(envelope)
        for envelope in (bad, worse):
            await spoil(engine, envelope)
        write, inbox = engine._database.write, Inbox()

        async def away(*_: object) -> None:
            raise StoreUnavailable("The disk is away.")

        monkeypatch.setattr(engine._database, "write", away)
        await engine.queue.consume("m", NORMAL, Lane.OPEN, 5, inbox)
        await inbox.count(1)
        monkeypatch.setattr(engine._database, "write", write)
        assert inbox.ids == [good.id]
        async with asyncio.timeout(10):
            await engine.queue.publish(bad)
            for envelope in (bad, worse):
                record = await engine.store.wait(envelope.id, 9)
                assert record is not None
                assert record.status is Status.FAILED
