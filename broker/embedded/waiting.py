"""What the queue reads from the file: the next keys, their envelopes, counts, parked requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import apsw
import orjson

from broker.embedded.rows import Key
from schemas.codec import BadEnvelope, decode
from schemas.envelope import Envelope
from schemas.priority import Lane, Priority

_UNPARK_BATCH = 1_000


def next_keys(
    file: apsw.Connection, model: str, priority: Priority, lane: Lane, limit: int
) -> list[Key]:
    """Return the first waiting keys, oldest first."""
    query = (
        "SELECT accepted_at, seq, id, generation FROM requests"
        " WHERE status = 'queued' AND parked = 0 AND model = ? AND priority = ? AND lane = ?"
        " ORDER BY accepted_at, seq LIMIT ?"
    )
    values = (model, priority.value, lane.value, limit)
    return [Key(*found) for found in file.execute(query, values)]


def envelopes(file: apsw.Connection, keys: Sequence[Key]) -> list[Envelope | BadEnvelope | None]:
    """Return the envelope of each copy, or why it cannot be read; None where it waits no more."""
    return [_envelope(file, key) for key in keys]


def count(
    file: apsw.Connection,
    model: str,
    priority: Priority,
    lane: Lane,
    held: Sequence[tuple[str, int]],
) -> int:
    """Return how many wait, without those that are handed over."""
    waiting: int = file.execute(
        "SELECT count(*) FROM requests"
        " WHERE status = 'queued' AND parked = 0 AND model = ? AND priority = ? AND lane = ?",
        (model, priority.value, lane.value),
    ).get
    out: int = file.execute(
        "SELECT count(*) FROM json_each(?) h JOIN requests q"
        " ON q.id = h.value ->> 0 AND q.generation = h.value ->> 1"
        " WHERE q.status = 'queued' AND q.parked = 0",
        (orjson.dumps(held).decode(),),
    ).get
    return waiting - out


def counts(file: apsw.Connection, model: str) -> dict[Priority, dict[str, int]]:
    """Return how many are queued, parked and handed over ones too, by class and tenant."""
    query = "SELECT priority, tenant, count FROM waiting_counts WHERE model = ?"
    found: dict[Priority, dict[str, int]] = {}
    for priority, tenant, queued in file.execute(query, (model,)):
        found.setdefault(Priority(priority), {})[tenant] = queued
    return found


def models(file: apsw.Connection) -> list[str]:
    """Return the models for which something is queued."""
    return [str(model) for (model,) in file.execute("SELECT DISTINCT model FROM waiting_counts")]


def first_parked(file: apsw.Connection) -> float | None:
    """Return the earliest instant at which a parked request may run."""
    query = "SELECT min(not_before) FROM requests WHERE status = 'queued' AND parked = 1"
    at: float | None = file.execute(query).get
    return at


def count_parked(file: apsw.Connection) -> int:
    """Return how many wait for their time."""
    query = "SELECT count(*) FROM requests WHERE status = 'queued' AND parked = 1"
    count: int = file.execute(query).get
    return count


def unpark(file: apsw.Connection, now: float) -> list[tuple[str, str, str]]:
    """Let parked requests wait whose time has come; return their (model, priority, lane)."""
    query = (
        "UPDATE requests SET parked = 0 WHERE seq IN ("
        " SELECT seq FROM requests WHERE status = 'queued' AND parked = 1 AND not_before <= ?"
        " ORDER BY not_before LIMIT ?) RETURNING model, priority, lane"
    )
    moved: list[Any] = file.execute(query, (now, _UNPARK_BATCH)).fetchall()
    return sorted(set(moved))


def _envelope(file: apsw.Connection, key: Key) -> Envelope | BadEnvelope | None:
    """The stored envelope is that of the birth; a retry has changed two fields since."""
    found = file.execute(
        "SELECT e.data, q.not_before FROM requests q JOIN envelopes e ON e.seq = q.seq"
        " WHERE q.seq = ? AND q.id = ? AND q.generation = ? AND q.status = 'queued'"
        " AND q.parked = 0",
        (key.seq, key.id, key.generation),
    ).get
    if found is None:
        return None
    data, not_before = found
    try:
        return replace(decode(data), generation=key.generation, not_before=not_before)
    except BadEnvelope as error:
        return error
