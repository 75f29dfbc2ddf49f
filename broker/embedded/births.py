"""How a request comes into the file: accepted at a door, or rebuilt from its message."""

from __future__ import annotations

import apsw
import msgpack

from broker.embedded import asked, marks
from broker.embedded.rows import Row, as_open, erase, find, row_from
from broker.scheduling.checks import next_check
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.ids import partition_of
from schemas.lifecycle import Status
from schemas.result import decode_result

_INSERT = """
INSERT INTO requests (
    id, partition, tenant, model, endpoint, priority, status, accepted_at, deadline, not_before,
    generation, held_by, on_disconnect, next_check, parked, metadata, body_hash, redrive_of,
    lane, stream, restart, reply_to, correlation_id, reply_as, webhook,
    batch, line, quiet
) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING *
"""


def create(file: apsw.Connection, envelope: Envelope, now: float, mark: bytes | None) -> bool:
    """Insert a request and its mark; False if the id is taken, but by this very call."""
    there = occupant(file, envelope)
    if there is not None and not _is_same(file, there, envelope):
        return False
    if there is None:
        insert(file, envelope, now)
        if mark is not None:
            marks.put(file, mark, envelope.id, now)
    return True


def occupant(file: apsw.Connection, envelope: Envelope) -> Row | None:
    """Return what is already there in place of `envelope`.

    A refusal was never told as a result, so one of a lower generation makes room (PROTOCOL 1).
    """
    there = find(file, envelope.id)
    if there is None or there.generation >= envelope.generation or not is_refused(file, there):
        return there
    erase(file, there.seq)
    return None


def is_refused(file: apsw.Connection, row: Row) -> bool:
    """Tell whether the request was taken back; its result stays for this as long as its row."""
    if row.status != Status.FAILED:
        return False
    data = file.execute("SELECT data FROM results WHERE seq = ?", (row.seq,)).get
    return data is not None and decode_result(data).code == "not_accepted"


def insert(file: apsw.Connection, envelope: Envelope, now: float) -> Row:
    """Insert a request that is known to be absent, and its envelope."""
    parked = int(envelope.not_before is not None and envelope.not_before > now)
    check = next_check(as_open(envelope, running=False), now)
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
        envelope.body_hash,
        envelope.redrive_of,
        envelope.lane.value,
        int(envelope.stream),
        int(envelope.restart),
        envelope.reply_to,
        envelope.correlation_id,
        envelope.reply_as,
        envelope.webhook,
        envelope.batch,
        envelope.line,
        int(envelope.quiet),
    )
    row = row_from(file.execute(_INSERT, values).fetchall()[0])
    keep_envelope(file, row.seq, envelope)
    asked.keep(file, row.seq, envelope)
    return row


def keep_envelope(file: apsw.Connection, seq: int, envelope: Envelope) -> None:
    """Store the whole envelope beside the row."""
    file.execute("INSERT OR REPLACE INTO envelopes VALUES (?, ?)", (seq, encode(envelope)))


def _is_same(file: apsw.Connection, there: Row, envelope: Envelope) -> bool:
    untouched = there.status == Status.QUEUED and there.attempt == 0
    stored = file.execute("SELECT data FROM envelopes WHERE seq = ?", (there.seq,)).get
    return untouched and bool(stored == encode(envelope))
