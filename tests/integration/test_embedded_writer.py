"""The writer: group commit, one bad operation among good ones, full and failing disks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from broker.claims import Run
from broker.embedded import connection
from broker.embedded.database import FILE_NAME
from broker.free_space import Floor
from schemas.errors import StorageFull, StoreUnavailable
from tests.chaos.lossy_vfs import lossy_disk
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import rows, running


async def test_many_operations_share_a_sync(tmp_path: Path) -> None:
    with lossy_disk() as disk:
        async with running(tmp_path, vfs=disk.vfs) as engine:
            before = disk.syncs
            await asyncio.gather(*(engine.store.create(make_envelope()) for _ in range(200)))
            assert 1 <= disk.syncs - before < 40
            before = disk.syncs
            await engine.store.create(make_envelope())
            assert disk.syncs == before + 1, "each answer is synced"


async def test_a_bad_operation_spoils_only_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:

        def half_done(file: apsw.Connection) -> None:
            file.execute("INSERT INTO foreign_messages VALUES (1, 0, 'half', x'')")
            raise ValueError("bad")

        def violating(file: apsw.Connection) -> None:
            file.execute("INSERT INTO epochs SELECT epoch FROM epochs")

        envelopes = [make_envelope() for _ in range(20)]
        good = [engine.store.create(envelope) for envelope in envelopes]
        bad = [engine._database.write(half_done), engine._database.write(violating)]
        answers = await asyncio.gather(*good[:10], *bad, *good[10:], return_exceptions=True)
        assert isinstance(answers[10], ValueError)
        assert isinstance(answers[11], StoreUnavailable)
        assert answers[:10] + answers[12:] == [True] * 20
        assert await rows(engine, "SELECT * FROM foreign_messages") == []
        assert await rows(engine, "SELECT count(*) FROM requests") == [(20,)]


async def test_a_listener_that_fails_leaves_no_caller_waiting(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:

        def fail(_: object) -> None:
            raise ValueError("bad")

        def nothing(_: apsw.Connection) -> None:
            pass

        with capture_logs() as logs:
            async with asyncio.timeout(5):
                await asyncio.gather(
                    engine._database.write(nothing, after=fail),
                    *(engine.store.create(make_envelope()) for _ in range(20)),
                )
        assert [line["log_level"] for line in logs] == ["error"]


async def test_a_caller_that_goes_away_stops_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        envelope = make_envelope()
        await engine.store.create(envelope)
        await engine.store.claim(envelope, make_slot())
        waiting = asyncio.create_task(engine.store.wait(envelope.id, 30))
        committing = asyncio.create_task(engine.store.finish(envelope, make_result(), 1))
        await asyncio.sleep(0)
        committing.cancel()
        async with asyncio.timeout(2):
            record = await waiting
        assert committing.cancelled()
        assert record is not None
        assert record.terminal, "the commit was made and its waiters were woken"


async def test_after_a_failed_sync_nothing_is_answered_and_nothing_tried_again(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    with lossy_disk() as disk:
        async with running(tmp_path, vfs=disk.vfs, on_broken=told.append) as engine:
            known = make_envelope()
            await engine.store.create(known)
            disk.cut()
            creates = [engine.store.create(make_envelope()) for _ in range(5)]
            answers = await asyncio.gather(*creates, return_exceptions=True)
            assert all(isinstance(answer, StoreUnavailable) for answer in answers)
            syncs = disk.syncs
            disk._off = False
            with pytest.raises(StoreUnavailable, match="can no longer be written"):
                await engine.store.create(make_envelope())
            assert disk.syncs == syncs
            assert len(told) == 1
            assert "can no longer be written" in str((await engine.health())["store"])


async def test_where_a_large_request_has_no_room_a_commit_still_has(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        envelope = make_envelope()
        await engine.store.create(envelope)
        assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
        [(pages,)] = await rows(engine, "PRAGMA page_count")
        await engine._database.write(lambda file: file.pragma("max_page_count", pages + 4))
        large = make_envelope(body=b"x" * 1_000_000)
        full, finish = await asyncio.gather(
            engine.store.create(large),
            engine.store.finish(envelope, make_result(), 1),
            return_exceptions=True,
        )
        assert isinstance(full, StorageFull)
        assert not isinstance(finish, BaseException)
        assert finish.won
        assert await engine.store.get(large.id) is None
        assert await engine.health() == {"store": None, "blobs": None}, "a full disk heals"


async def test_below_the_floor_nothing_is_accepted_but_commits_go_on(tmp_path: Path) -> None:
    envelope = make_envelope()
    async with running(tmp_path) as engine:
        await engine.store.create(envelope)
    async with running(tmp_path, floor=Floor(bytes=1 << 62, share=1.0)) as engine:
        with pytest.raises(StorageFull, match="less than the reserve"):
            await engine.store.create(make_envelope())
        assert await engine.store.claim(envelope, make_slot()) == Run(1, 0)
        assert (await engine.store.finish(envelope, make_result(), 1)).won


async def test_the_smaller_floor_counts(tmp_path: Path) -> None:
    for floor in (Floor(bytes=0, share=1.0), Floor(bytes=1 << 62, share=0.0)):
        async with running(tmp_path, floor=floor) as engine:
            assert await engine.store.create(make_envelope())


async def test_another_programs_lock_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_BUSY_MS", 50)
    async with running(tmp_path) as engine:
        backup = apsw.Connection(str(tmp_path / FILE_NAME))
        backup.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="Another program has locked"):
            await engine.store.create(make_envelope())
        backup.execute("ROLLBACK")
        backup.close()
        assert await engine.store.create(make_envelope())
        assert await engine.health() == {"store": None, "blobs": None}


async def test_a_bad_query_spoils_only_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:

        def bad(_file: apsw.Connection) -> None:
            raise ValueError("bad")

        envelopes = [make_envelope() for _ in range(20)]
        await asyncio.gather(*map(engine.store.create, envelopes))
        good = [engine.store.get(envelope.id) for envelope in envelopes]
        wrong = rows(engine, "SELECT * FROM nowhere")
        answers = await asyncio.gather(
            *good[:10], engine._database.read(bad), wrong, *good[10:], return_exceptions=True
        )
        assert isinstance(answers[10], ValueError)
        assert isinstance(answers[11], StoreUnavailable)
        found = [getattr(answer, "id", answer) for answer in answers[:10] + answers[12:]]
        assert found == [envelope.id for envelope in envelopes]
