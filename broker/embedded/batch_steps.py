"""What changes a batch, but for its lines: holds, states, pauses, oblivion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from broker.embedded.batch_rows import (
    BatchRow,
    batch_of,
    encode_errors,
    encode_times,
    find,
    find_held,
    readable,
    times_of,
)
from broker.embedded.rows import erase_all
from broker.ports import Held, Validated
from broker.ports.batches import HOLD_S
from schemas.batches import BATCH_TRANSITIONS, Batch, BatchStatus, Cursor, LineError

_HOLD = """
UPDATE batches SET token = ?, owner = ?, held_until = ? WHERE seq = ?
"""
_ENTER = """
UPDATE batches SET status = ?, times = ?, errors = ?, expires_at = ? WHERE seq = ?
"""
_FED = """
UPDATE batches SET fed_line = ?, fed_offset = ?, fed_physical = ?
WHERE id = ? AND token = ? AND expires_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a batch enters, and when; from `expires_at` on an ended one reads as unknown.

    `ended` is the number of lines that must be written, None for any.
    """

    status: BatchStatus
    at: float
    errors: Sequence[LineError] = ()
    expires_at: float | None = None
    ended: int | None = None


def read(file: apsw.Connection, batch_id: str, now: float) -> Batch | None:
    """Return a batch that is not past its retention."""
    row = find(file, batch_id)
    return batch_of(row) if row is not None and readable(row, now) else None


def hold(file: apsw.Connection, batch_id: str, owner: str, now: float) -> Held | None:
    """Renew the hold of this process, or take it anew: any other is that of an earlier life."""
    row = find(file, batch_id)
    if row is None or not readable(row, now):
        return None
    renewed = row.owner == owner and row.held_until > now
    token = row.token if renewed else row.token + 1
    file.execute(_HOLD, (token, owner, now + HOLD_S, row.seq))
    return Held(batch_of(row), token)


def let_go(file: apsw.Connection, batch_id: str, token: int) -> None:
    """Give up a hold."""
    file.execute("UPDATE batches SET owner = NULL WHERE id = ? AND token = ?", (batch_id, token))


def validated(
    file: apsw.Connection, batch_id: str, token: int, found: Validated, at: float
) -> bool:
    """Begin a batch whose file is good."""
    row = find_held(file, batch_id, token)
    if row is None:
        return False
    if row.status != BatchStatus.VALIDATING:
        told = (row.status, row.total, row.model)
        return told == (BatchStatus.IN_PROGRESS, found.total, found.model)
    _enter(file, row, Entry(BatchStatus.IN_PROGRESS, at))
    file.execute(
        "UPDATE batches SET total = ?, model = ? WHERE seq = ?", (found.total, found.model, row.seq)
    )
    return True


def move(file: apsw.Connection, batch_id: str, token: int, entry: Entry) -> bool:
    """Enter a status where the states lead there; True also if it is already that."""
    row = find_held(file, batch_id, token)
    if row is None:
        return False
    if row.status == entry.status:
        return True
    leads_there = entry.status in BATCH_TRANSITIONS[BatchStatus(row.status)]
    if not leads_there or entry.ended not in {None, row.completed + row.failed}:
        return False
    _enter(file, row, entry)
    return True


def cancel(file: apsw.Connection, batch_id: str, at: float, now: float) -> Batch | None:
    """Move a batch to `cancelling`, if its state leads there."""
    row = find(file, batch_id)
    if row is None:
        return None
    if BatchStatus.CANCELLING in BATCH_TRANSITIONS[BatchStatus(row.status)]:
        _enter(file, row, Entry(BatchStatus.CANCELLING, at))
    return read(file, batch_id, now)


def pause(file: apsw.Connection, batch_id: str, paused: bool, now: float) -> Batch | None:
    """Let the feeder of a batch that has not ended rest, or go on."""
    file.execute(
        "UPDATE batches SET paused = ? WHERE id = ? AND expires_at IS NULL", (int(paused), batch_id)
    )
    return read(file, batch_id, now)


def fed(file: apsw.Connection, batch_id: str, token: int, cursor: Cursor) -> bool:
    """Note how far lines are confirmed."""
    values = (cursor.line, cursor.offset, cursor.physical, batch_id, token)
    file.execute(_FED, values)
    return file.changes() == 1


def told(file: apsw.Connection, batch_id: str, token: int) -> None:
    """Note that the end of a batch is told."""
    file.execute(
        "UPDATE batches SET told = 1 WHERE id = ? AND token = ? AND expires_at IS NOT NULL",
        (batch_id, token),
    )


def remove(file: apsw.Connection, batch_id: str, now: float) -> bool:
    """Forget a batch that has ended; False if there is none such."""
    row = find(file, batch_id)
    if row is None or row.expires_at is None or row.expires_at <= now:
        return False
    erase_batch(file, row.seq)
    return True


def erase_batch(file: apsw.Connection, seq: int) -> None:
    """Remove every trace of a batch but its files; also the lines that it never gathered."""
    left = file.execute("SELECT request FROM line_ends WHERE batch = ?", (seq,))
    erase_all(file, [int(request) for (request,) in left])
    file.execute("DELETE FROM line_ends WHERE batch = ?", (seq,))
    file.execute("DELETE FROM line_bits WHERE batch = ?", (seq,))
    file.execute("DELETE FROM batches WHERE seq = ?", (seq,))


def _enter(file: apsw.Connection, row: BatchRow, entry: Entry) -> None:
    times = encode_times({**times_of(row), entry.status: entry.at})
    errors = encode_errors(entry.errors) if entry.errors else row.errors
    file.execute(_ENTER, (entry.status.value, times, errors, entry.expires_at, row.seq))
