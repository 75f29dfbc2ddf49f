"""Rows of the table `requests` and what the rest of Penstock calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw
import msgpack
import orjson

from broker.scheduling.checks import Open
from broker.scheduling.claiming import Found
from schemas.attempts import decode_history
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from schemas.record import Record
from schemas.result import Result, decode_result

_ERASE = "DELETE FROM {} WHERE seq IN (SELECT value FROM json_each(?))"


class Row(NamedTuple):
    """One row, in the order of the columns as the migrations make them."""

    seq: int
    id: str
    partition: int
    tenant: str
    model: str
    endpoint: str
    priority: str
    status: str
    accepted_at: float
    deadline: float
    not_before: float | None
    generation: int
    attempt: int
    poison: int
    witnessed: int
    owner: str | None
    reservation: str | None
    held_by: str | None
    on_disconnect: str
    started_at: float | None
    finished_at: float | None
    expires_at: float | None
    gone_at: float | None
    next_check: float | None
    parked: int
    metadata: bytes | None
    body_hash: bytes | None
    redrive_of: str | None
    redriven_as: str | None
    dead: int
    lane: str
    parked_for: str | None
    history: bytes | None
    stream: int
    restart: int
    reply_to: str | None
    correlation_id: str | None
    reply_as: str | None
    replied: int
    webhook: str | None
    batch: str | None
    line: int | None
    quiet: int


def row_from(values: Any) -> Row:
    """Return the row that SQLite's values stand for: the schema is STRICT, so they fit."""
    return Row(*values)


class Key(NamedTuple):
    """One copy of a waiting request, in the order in which copies are delivered."""

    accepted_at: float
    seq: int
    id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A request that has just come to wait; `parked_until` is set while its time lies ahead."""

    model: str
    priority: Priority
    lane: Lane
    key: Key
    parked_until: float | None


def find(file: apsw.Connection, request_id: str) -> Row | None:
    """Return the row of a request, tombstones included."""
    found = file.execute("SELECT * FROM requests WHERE id = ?", (request_id,)).get
    return None if found is None else row_from(found)


def find_with_result(file: apsw.Connection, request_id: str) -> tuple[Row, Result | None] | None:
    """Return the row of a request and its stored result, tombstones included."""
    query = "SELECT q.*, r.data FROM requests q LEFT JOIN results r ON r.seq = q.seq WHERE q.id = ?"
    found = file.execute(query, (request_id,)).get
    if found is None:
        return None
    *values, data = found
    return row_from(values), None if data is None else decode_result(data)


def result_of(file: apsw.Connection, seq: int, now: float) -> Result | None:
    """Return the stored result unless it is past its retention."""
    query = (
        "SELECT r.data FROM results r JOIN requests q ON q.seq = r.seq"
        " WHERE r.seq = ? AND q.expires_at > ?"
    )
    data: bytes | None = file.execute(query, (seq, now)).get
    return None if data is None else decode_result(data)


def found_in(row: Row | None) -> Found | None:
    """Return the row as the claim's table sees it."""
    if row is None:
        return None
    return Found(
        status=Status(row.status),
        generation=row.generation,
        attempt=row.attempt,
        poison=row.poison,
        witnessed=was_witnessed(row),
        owner=row.owner,
        reservation=row.reservation,
        deadline=row.deadline,
        not_before=row.not_before,
    )


def as_open(request: Row | Envelope, *, running: bool) -> Open:
    """Return an open request, or one about to be, as the rule of the next check sees it."""
    return Open(
        running=running,
        published=True,
        held=request.held_by is not None,
        due=request.not_before or request.accepted_at,
        deadline=request.deadline,
        copy_apart=False,
    )


def erase(file: apsw.Connection, seq: int) -> None:
    """Remove every trace of a request."""
    erase_bodies(file, seq)
    file.execute("DELETE FROM requests WHERE seq = ?", (seq,))


def erase_all(file: apsw.Connection, numbers: Sequence[int]) -> None:
    """Remove every trace of these requests."""
    listed = (orjson.dumps(numbers).decode(),)
    for table in ("envelopes", "results", "asked", "requests"):
        file.execute(_ERASE.format(table), listed)


def erase_bodies(file: apsw.Connection, seq: int) -> None:
    """Remove all of a request but its row."""
    file.execute("DELETE FROM envelopes WHERE seq = ?", (seq,))
    file.execute("DELETE FROM results WHERE seq = ?", (seq,))
    file.execute("DELETE FROM asked WHERE seq = ?", (seq,))


def was_witnessed(row: Row) -> bool:
    """Tell whether a heartbeat has seen the row's attempt running."""
    return row.witnessed == row.attempt > 0


def key_of(row: Row) -> Key:
    """Return the key of the row's newest copy."""
    return Key(row.accepted_at, row.seq, row.id, row.generation)


def placed(row: Row) -> Placed:
    """Return where a `queued` row waits."""
    until = row.not_before if row.parked else None
    return Placed(row.model, Priority(row.priority), Lane(row.lane), key_of(row), until)


def record_of(row: Row, result: Result | None = None) -> Record:
    """Return the record. The row is its own message, so it always counts as published."""
    return Record(
        id=row.id,
        tenant=row.tenant,
        model=row.model,
        endpoint=row.endpoint,
        priority=Priority(row.priority),
        status=Status(row.status),
        accepted_at=row.accepted_at,
        deadline=row.deadline,
        not_before=row.not_before,
        generation=row.generation,
        attempt=row.attempt,
        poison=row.poison,
        owner=row.owner,
        published=True,
        held_by=row.held_by,
        on_disconnect="finish" if row.on_disconnect == "finish" else "cancel",
        started_at=row.started_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        body_hash=row.body_hash,
        redrive_of=row.redrive_of,
        redriven_as=row.redriven_as,
        parked_for=row.parked_for,
        history=decode_history(row.history),
        slot=row.reservation,
        stream=bool(row.stream),
        restart=bool(row.restart),
        reply_to=row.reply_to,
        correlation_id=row.correlation_id,
        reply_as=row.reply_as,
        replied=bool(row.replied),
        webhook=row.webhook,
        batch=row.batch,
        line=row.line,
        quiet=bool(row.quiet),
        metadata=msgpack.unpackb(row.metadata) if row.metadata else {},
        result=result,
    )
