"""The embedded engine from start to start: the lock, epochs, what an earlier life left behind."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import apsw
import pytest

from broker.claims import Run
from broker.embedded import upkeep
from broker.embedded.database import FILE_NAME
from broker.embedded.engine import EmbeddedEngine
from broker.ports import DeadLetter
from schemas.errors import ConfigError, StoreUnavailable
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import rows, running


async def test_a_second_process_is_refused_with_the_directorys_name(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(ConfigError, match="is in use by another Penstock process") as refused:
            await EmbeddedEngine(tmp_path, 60).start()
        assert str(tmp_path) in str(refused.value)
    async with running(tmp_path):
        """The lock has gone with its holder."""


async def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        await EmbeddedEngine(tmp_path / "file" / "data", 60).start()


async def test_a_file_of_a_newer_version_is_a_sentence(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    file = apsw.Connection(str(tmp_path / FILE_NAME))
    file.pragma("user_version", 99)
    file.close()
    with pytest.raises(ConfigError, match="newer version of Penstock"):
        await EmbeddedEngine(tmp_path, 60).start()
    with pytest.raises(ConfigError, match="upgrade Penstock"):
        await EmbeddedEngine(tmp_path, 60).start()


async def test_each_life_has_its_own_owner(tmp_path: Path) -> None:
    owners = []
    for _ in range(3):
        async with running(tmp_path) as engine:
            owners.append(engine.owner)
            assert await engine.health() == {"store": None, "blobs": None}
    assert owners == ["embedded:1", "embedded:2", "embedded:3"]


async def test_stop_is_safe_at_any_time(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, 60)
    await engine.stop()
    assert (await engine.health())["store"]
    with pytest.raises(StoreUnavailable):
        await engine.store.get("req_x")
    engine = EmbeddedEngine(tmp_path, 60)
    await engine.start()
    await engine.start()
    await engine.stop()
    await engine.stop()
    with pytest.raises(StoreUnavailable):
        await engine.store.create(make_envelope())


async def test_who_waits_is_let_go_when_the_store_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        envelope = make_envelope()
        await engine.store.create(envelope)
        waiting = asyncio.create_task(engine.store.wait(envelope.id, 60))
        await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        with pytest.raises(StoreUnavailable):
            await waiting


async def test_what_ran_waits_again_and_its_attempt_counts(tmp_path: Path) -> None:
    unseen, seen = make_envelope(), make_envelope()
    async with running(tmp_path) as engine:
        for envelope in (unseen, seen):
            await engine.store.create(envelope)
            assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
        await engine.store.witness([seen.id])
    async with running(tmp_path) as engine:
        record = await engine.store.get(unseen.id)
        assert record is not None
        assert (record.status, record.owner, record.attempt) == (Status.QUEUED, None, 1)
        inbox = Inbox()
        await engine.queue.consume("m", Priority.NORMAL, Lane.OPEN, 5, inbox)
        await inbox.count(2)
        assert await engine.store.claim(unseen, make_slot()) == Run(2, 0)
        assert await engine.store.claim(seen, make_slot()) == Run(2, 1)


async def test_what_was_parked_wakes_in_the_next_life(tmp_path: Path) -> None:
    envelope = make_envelope(not_before=time.time() + 0.5)
    async with running(tmp_path) as engine:
        await engine.store.create(envelope)
    async with running(tmp_path) as engine:
        inbox = Inbox()
        await engine.queue.consume("m", Priority.NORMAL, Lane.OPEN, 5, inbox)
        await inbox.count(1)
        assert envelope.not_before is not None
        assert time.time() >= envelope.not_before - 0.05


async def test_a_booked_turn_ends_with_its_life_so_that_nobody_new_is_given_it(
    tmp_path: Path,
) -> None:
    envelope = make_envelope()
    async with running(tmp_path) as engine:
        await engine.store.create(envelope)
        await engine.store.park(envelope.next_generation(time.time() + 3_600), "rpm of tenant acme")
    async with running(tmp_path) as engine:
        inbox = Inbox()
        await engine.queue.consume("m", Priority.NORMAL, Lane.OPEN, 5, inbox)
        (delivery,) = await inbox.count(1)
        assert (delivery.envelope.generation, delivery.envelope.not_before) == (1, None)
        assert await engine.store.claim(delivery.envelope, make_slot()) == Run(1, 0)


async def test_deliveries_of_a_stopped_engine_settle_nothing(tmp_path: Path) -> None:
    envelope, inbox = make_envelope(), Inbox()
    async with running(tmp_path) as engine:
        await engine.store.create(envelope)
        await engine.queue.consume("m", Priority.NORMAL, Lane.OPEN, 5, inbox)
        await inbox.count(1)
    await inbox.got[0].requeue()
    await inbox.got[0].ack()
    assert inbox.ids == [envelope.id]


async def test_bodies_leave_with_the_end_but_for_a_dead_letter(tmp_path: Path) -> None:
    ended, dead = make_envelope(), make_envelope()
    async with running(tmp_path) as engine:
        for envelope in (ended, dead):
            await engine.store.create(envelope)
        await engine.store.finish(ended, make_result(), 0)
        failure = make_result(Status.FAILED)
        await engine.store.finish(dead, failure, 0, keep_envelope=True)
        kept = "SELECT q.id FROM envelopes e JOIN requests q ON q.seq = e.seq"
        assert await rows(engine, kept) == [(dead.id,)]


async def test_of_foreign_messages_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FOREIGN_KEPT", 3)
    async with running(tmp_path) as engine:
        for number in range(5):
            await engine.upkeep.file_dead_letter(DeadLetter(None, "rejected", b"%d" % number))
        kept = await rows(engine, "SELECT body FROM foreign_messages ORDER BY seq")
        assert kept == [(b"2",), (b"3",), (b"4",)]
