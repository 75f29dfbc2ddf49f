"""A data file of an earlier version: opened, migrated and served, or left as it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from broker.claims import Run
from broker.embedded import connection, migrations
from broker.embedded.database import FILE_NAME
from broker.ports import OutboxEntry, Reservation, Selection
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.ids import partition_of
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from schemas.result import Result, encode_result
from tests.fakes.envelopes import make_envelope
from tests.fakes.inbox import Inbox
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import rows, running

_DATA = Path(__file__).parent / "data"
RELEASED = (1, 2, 3, 4, 5)
_SHAPE = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
_ALL = Selection(None)


def released_step(number: int) -> str:
    """Return the step to schema `number` as it was released."""
    return (_DATA / f"embedded_schema_{number}.sql").read_text("utf-8")


def of_version(number: int, folder: Path) -> apsw.Connection:
    """Return an empty file as schema `number` was."""
    folder.mkdir(exist_ok=True)
    file = apsw.Connection(str(folder / FILE_NAME))
    file.pragma("journal_mode", "WAL")
    for step in RELEASED[:number]:
        file.execute(released_step(step))
    file.pragma("user_version", number)
    return file


def put(file: apsw.Connection, envelope: Envelope, result: Result | None = None) -> None:
    """Write a request as an earlier version did: waiting, or as a dead letter."""
    ended = result and (result.finished_at, result.finished_at + 60, envelope.deadline + 900_000)
    fields: dict[str, Any] = {
        "id": envelope.id,
        "partition": partition_of(envelope.id),
        "tenant": envelope.tenant,
        "model": envelope.model,
        "endpoint": envelope.endpoint,
        "priority": envelope.priority.value,
        "status": result.status.value if result else "queued",
        "accepted_at": envelope.accepted_at,
        "deadline": envelope.deadline,
        "generation": envelope.generation,
        "on_disconnect": envelope.on_disconnect,
        "next_check": None if result else envelope.deadline,
        "parked": 0,
    } | dict(zip(("finished_at", "expires_at", "gone_at"), ended or (None,) * 3, strict=True))
    marks = ", ".join("?" * len(fields))
    insert = f"INSERT INTO requests ({', '.join(fields)}) VALUES ({marks}) RETURNING seq"
    seq = file.execute(insert, tuple(fields.values())).get
    file.execute("INSERT INTO envelopes VALUES (?, ?)", (seq, encode(envelope)))
    if result and ended:
        values = (seq, ended[1], encode_result(result))
        file.execute("INSERT INTO results VALUES (?, ?, ?)", values)


@pytest.mark.parametrize("version", RELEASED)
async def test_what_waits_in_it_is_served(tmp_path: Path, version: int) -> None:
    waiting = make_envelope(tenant="acme", metadata={"a": "b"})
    file = of_version(version, tmp_path)
    put(file, waiting)
    file.close()
    async with running(tmp_path) as engine:
        assert await engine.store.open_count("acme") == 1
        assert await engine.store.waiting("m") == {Priority.NORMAL: {"acme": 1}}
        inbox = Inbox()
        await engine.queue.consume("m", Priority.NORMAL, Lane.OPEN, 5, inbox)
        await inbox.count(1)
        assert inbox.ids == [waiting.id]
        assert await engine.store.claim(waiting, make_slot()) == Run(1, 0)
        assert (await engine.store.finish(waiting, make_result(), 1)).won
        (record,) = await engine.store.select(Selection("acme"), None, 10) or []
        assert (record.id, record.status) == (waiting.id, Status.COMPLETED)
        assert (record.body_hash, record.redriven_as) == (None, None)
        assert (record.parked_for, record.history) == (None, ())
        assert (record.stream, record.reply_to, record.replied) == (False, None, False)
        assert (record.webhook, record.batch, record.quiet) == (None, None, False)
        assert await engine.store.open_count("acme") == 0
        assert await engine.store.waiting_models() == []


async def test_its_outbox_is_read_by_every_reader(tmp_path: Path) -> None:
    ended = make_envelope(tenant="acme")
    file = of_version(4, tmp_path)
    put(file, ended, make_result())
    fields = "partition, request_id, status, backend, reservation, tokens"
    partition = partition_of(ended.id)
    values = (partition, ended.id, "completed", "gpu-a", "embedded:1:1", 12)
    file.execute(f"INSERT INTO outbox ({fields}) VALUES (?, ?, ?, ?, ?, ?)", values)
    file.close()
    slot = Reservation("gpu-a", "embedded:1:1")
    expected = OutboxEntry(ended.id, Status.COMPLETED, slot, 12, tenant="acme")
    async with running(tmp_path) as engine:
        [(cursor, told)] = await engine.upkeep.outbox(partition, 10)
        assert told == expected
        assert await engine.upkeep.outbox(partition, 10, "webhooks") == [(cursor, expected)]
        assert await engine.upkeep.outbox(partition, 10, "replies") == []
        await engine.upkeep.outbox_done(partition, cursor)
        assert await rows(engine, "SELECT count(*) FROM outbox") == [(1,)]
        await engine.upkeep.outbox_done(partition, cursor, "webhooks")
        assert await rows(engine, "SELECT count(*) FROM outbox") == [(0,)]


async def test_its_dead_letters_can_be_listed_and_redriven(tmp_path: Path) -> None:
    dead, ended = make_envelope(), make_envelope()
    result = Result(Status.FAILED, time.time(), code="poisoned")
    file = of_version(1, tmp_path)
    put(file, dead, result)
    put(file, ended, result)
    file.execute("DELETE FROM envelopes WHERE data = ?", (encode(ended),))
    file.close()
    async with running(tmp_path) as engine:
        assert await engine.store.open_count("default") == 0
        (record,) = await engine.dead_letters.select(_ALL, None, 10) or []
        assert (record.id, record.result) == (dead.id, result)
        assert await engine.dead_letters.envelope(dead.id) == dead
        assert await engine.dead_letters.redriven(dead.id, make_envelope().id)


@pytest.mark.parametrize("version", RELEASED)
async def test_a_migrated_file_has_the_shape_of_a_new_one(tmp_path: Path, version: int) -> None:
    of_version(version, tmp_path / "old").close()
    async with running(tmp_path / "old") as old, running(tmp_path / "new") as new:
        assert await rows(old, _SHAPE) == await rows(new, _SHAPE)
    async with running(tmp_path / "old") as again:
        assert await rows(again, "PRAGMA user_version") == [(migrations.SCHEMA_VERSION,)]


def test_a_step_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = of_version(1, tmp_path)
    put(file, make_envelope())
    before = file.execute(_SHAPE).fetchall()
    # The next version's step is missing: the ones before it must not stay either.
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", migrations.SCHEMA_VERSION + 1)
    with pytest.raises(FileNotFoundError):
        connection.open_writer(tmp_path / FILE_NAME, None)
    assert file.execute(_SHAPE).fetchall() == before
    assert file.pragma("user_version") == 1
    file.close()


@pytest.mark.parametrize("number", RELEASED)
def test_a_step_stays_as_it_was_released(number: int) -> None:
    def statements(text: str) -> list[str]:
        return [line.split("--")[0].rstrip() for line in text.splitlines() if line.split("--")[0]]

    step = Path(migrations.__file__).parent / f"{number}.sql"
    assert statements(step.read_text("utf-8")) == statements(released_step(number))
