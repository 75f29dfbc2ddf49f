"""How a request comes into the file: accepted at a door, or rebuilt from its message."""

from __future__ import annotations

import apsw
import msgpack

from broker.embedded.rows import Row, find, row_from
from broker.scheduling.checks import Open, next_check
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.ids import partition_of
from schemas.lifecycle import Status

_INSERT = """
INSERT INTO requests (
    id, partition, tenant, model, endpoint, priority, status, accepted_at, deadline, not_before,
    generation, held_by, on_disconnect, next_check, parked, metadata
) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *
"""


def create(file: apsw.Connection, envelope: Envelope, now: float) -> bool:
    """Insert a request; False if the id is taken, but by this very call."""
    there = find(file, envelope.id)
    if there is None:
        insert(file, envelope, now)
        return True
    untouched = there.status == Status.QUEUED and there.attempt == 0
    stored = file.execute("SELECT data FROM envelopes WHERE seq = ?", (there.seq,)).get
    return untouched and bool(stored == encode(envelope))


def insert(file: apsw.Connection, envelope: Envelope, now: float) -> Row:
    """Insert a request that is known to be absent, and its envelope."""
    parked = int(envelope.not_before is not None and envelope.not_before > now)
    check = next_check(_as_open(envelope), now)
    values = (
        envelope.id,
        partition_of(envelope.id),
        envelope.tenant,
        envelope.model,
        envelope.endpoint,
        envelope.priority.value,
        envelope.accepted_at,
        envelope.deadline,
        envelope.not_before,
        envelope.generation,
        envelope.held_by,
        envelope.on_disconnect,
        check,
        parked,
        msgpack.packb(dict(envelope.metadata)) if envelope.metadata else None,
    )
    row = row_from(file.execute(_INSERT, values).fetchall()[0])
    keep_envelope(file, row.seq, envelope)
    return row


def keep_envelope(file: apsw.Connection, seq: int, envelope: Envelope) -> None:
    """Store the whole envelope beside the row."""
    file.execute("INSERT OR REPLACE INTO envelopes VALUES (?, ?)", (seq, encode(envelope)))


def _as_open(envelope: Envelope) -> Open:
    return Open(
        running=False,
        published=True,
        held=envelope.held_by is not None,
        due=envelope.not_before or envelope.accepted_at,
        deadline=envelope.deadline,
        copy_apart=False,
    )
