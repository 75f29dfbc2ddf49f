"""How a request ends in the file, and how it leaves it: commit, cancel, refusal, oblivion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import apsw

from broker.embedded import asked, births, line_ends, outbox
from broker.embedded.rows import Key, Row, erase_bodies, find, find_with_result, record_of
from broker.embedded.runs import tell_attempt
from broker.ports import Reservation
from broker.scheduling.committing import commit_wins
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.errors import TERMINAL_CODES
from schemas.large import LETTER_KEPT_S
from schemas.lifecycle import TERMINAL, Status
from schemas.record import Record
from schemas.result import Result, encode_result

_CONCLUDE = """
UPDATE requests SET
    status = ?, attempt = max(attempt, ?), owner = NULL, reservation = NULL, finished_at = ?,
    expires_at = ?, gone_at = ?, dead = ?, next_check = NULL, parked = 0,
    parked_for = NULL
WHERE seq = ?
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a commit writes; a dead letter keeps its envelope to be redriven from.

    `told` is False for a refusal, which nobody may take for a result: no outbox entry. `in_hand`
    says that a worker ends it, which sees to what follows.
    """

    result: Result
    attempt: int
    retention_s: float
    reservation: Reservation | None = None
    keep_envelope: bool = False
    told: bool = True
    in_hand: bool = False
    made: Attempt | None = None

    @property
    def kept(self) -> bool:
        """Whether its result stays with the row: it tells a refusal, or why a letter is dead."""
        return self.keep_envelope or not self.told


def finish(file: apsw.Connection, row: Row, ending: Ending) -> bool:
    """Commit unless the row is terminal or a newer attempt runs; tell whether this one won.

    The same result is the same commit, whose first answer was lost: it has won.
    """
    result = ending.result
    if row.status in TERMINAL:
        return _is_stored(file, row, result)
    if not commit_wins(Status(row.status), row.attempt, result.status, ending.attempt):
        return False
    _conclude(file, row, ending)
    return True


def cancel(
    file: apsw.Connection, request_id: str, holder: str | None, retention_s: float, now: float
) -> Record | None:
    """End a request as cancelled unless it is terminal, or held by another than `holder`."""
    row = find(file, request_id)
    if row is None:
        return None
    if row.status not in TERMINAL and holder in (None, row.held_by):
        _conclude(file, row, Ending(_bare(Status.CANCELLED, "cancelled", now), 0, retention_s))
    return read(file, request_id, now)


def take_back(file: apsw.Connection, envelope: Envelope, retention_s: float, now: float) -> bool:
    """End a waiting request as refused, while no worker ever had it.

    True also when it already is, or when a repeated submission has made the record instead. A
    missing one is written as refused: whoever still wants to create it must find that.
    """
    row = births.occupant(file, envelope) or births.insert(file, envelope, now)
    if row.accepted_at != envelope.accepted_at:
        return True
    if row.status in TERMINAL:
        return births.is_refused(file, row)
    if row.status != Status.QUEUED or row.attempt > 0:
        return False
    # Only what was taken back before can have a newer one in its place that nobody has claimed.
    if row.generation <= envelope.generation:
        refusal = _bare(Status.FAILED, "not_accepted", now)
        _conclude(file, row, Ending(refusal, 0, retention_s, told=False))
    return True


def set_aside(
    file: apsw.Connection, copy: Key, why: str, retention_s: float, now: float
) -> Record | None:
    """End a waiting copy that cannot be handed over; its envelope stays to be looked at.

    That of a line does not: it is in the input of its batch. Return the record as it was; None if
    the copy no longer waits.
    """
    row = find(file, copy.id)
    if row is None or (row.status, row.generation) != (Status.QUEUED, copy.generation):
        return None
    result = Result(status=Status.FAILED, finished_at=now, code="dead_lettered", message=why)
    ending = Ending(result, row.attempt, retention_s, keep_envelope=row.batch is None)
    _conclude(file, row, ending)
    return record_of(row)


def end(file: apsw.Connection, record: Record, result: Result, retention_s: float) -> bool:
    """End an open request, if it is still as the keeper saw it."""
    row = find(file, record.id)
    if row is None:
        return False
    if row.status in TERMINAL:
        return _is_stored(file, row, result)
    seen = (record.status, record.owner, record.attempt, record.held_by)
    if (row.status, row.owner, row.attempt, row.held_by) != seen:
        return False
    _conclude(file, row, Ending(result, row.attempt, retention_s))
    return True


def read(file: apsw.Connection, request_id: str, now: float) -> Record | None:
    """Return the record as a reader may see it: a tombstone is nothing."""
    found = find_with_result(file, request_id)
    if found is None:
        return None
    row, result = found
    if row.expires_at is not None and row.expires_at <= now:
        return None
    return record_of(row, result)


def forget(file: apsw.Connection, request_id: str, now: float) -> bool:
    """Let an ended request read as unknown; False if it is not there to be read."""
    row = find(file, request_id)
    if row is None or row.expires_at is None or row.expires_at <= now:
        return False
    file.execute("UPDATE requests SET expires_at = ?, dead = 0 WHERE seq = ?", (now, row.seq))
    if row.gone_at is not None:  # else its batch has to gather it yet
        erase_bodies(file, row.seq)
    return True


def mark_replied(file: apsw.Connection, request_id: str) -> None:
    """Note that the reply of an ended request was sent."""
    file.execute(
        "UPDATE requests SET replied = 1 WHERE id = ? AND expires_at IS NOT NULL", (request_id,)
    )


def _is_stored(file: apsw.Connection, row: Row, result: Result) -> bool:
    stored = file.execute("SELECT data FROM results WHERE seq = ?", (row.seq,)).get
    return bool(stored == encode_result(result))


def _conclude(file: apsw.Connection, row: Row, ending: Ending) -> None:
    result = ending.result
    expires_at = result.finished_at + ending.retention_s
    gone_at, result_until = _kept_until(row, ending, expires_at, line_ends.note(file, row))
    if not ending.keep_envelope:
        file.execute("DELETE FROM envelopes WHERE seq = ?", (row.seq,))
    times = (result.finished_at, expires_at, gone_at)
    dead = int(ending.keep_envelope)
    file.execute(_CONCLUDE, (result.status.value, ending.attempt, *times, dead, row.seq))
    file.execute(
        "INSERT OR REPLACE INTO results VALUES (?, ?, ?)",
        (row.seq, result_until, encode_result(result)),
    )
    asked.keep_until(file, row, expires_at)
    tell_attempt(file, row, ending.made)
    if ending.told:
        outbox.tell(file, row, result, ending.reservation, in_hand=ending.in_hand)


def _kept_until(
    row: Row, ending: Ending, expires_at: float, to_gather: bool
) -> tuple[float | None, float]:
    """Return how long the row and its result stay; those of a line stay until it is gathered."""
    if to_gather:
        return None, math.inf
    gone_at = max(expires_at, row.deadline)
    if ending.keep_envelope:
        gone_at = max(gone_at, ending.result.finished_at + LETTER_KEPT_S)
    return gone_at, gone_at if ending.kept else expires_at


def _bare(status: Status, code: str, now: float) -> Result:
    return Result(status=status, finished_at=now, code=code, message=TERMINAL_CODES[code])
