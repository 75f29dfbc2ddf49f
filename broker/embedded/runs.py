"""How a request comes to run and back to wait: claim, take-over, next attempt, requeue, park."""

from __future__ import annotations

from dataclasses import dataclass

import apsw
import orjson

from broker.claims import Claim, Done, Run
from broker.embedded import line_ends
from broker.embedded.births import insert
from broker.embedded.rows import (
    Placed,
    Row,
    as_open,
    find,
    found_in,
    placed,
    row_from,
    was_witnessed,
)
from broker.scheduling.checks import next_check
from broker.scheduling.claiming import Claimant, decide_claim, decide_take_over
from schemas.attempts import Attempt, decode_history, encode_history, with_attempt
from schemas.envelope import Envelope
from schemas.lifecycle import Status

_START = """
UPDATE requests SET
    status = 'in_progress', owner = ?, reservation = ?, attempt = ?, poison = ?, generation = ?,
    started_at = coalesce(started_at, ?), next_check = ?, parked = 0, parked_for = NULL
WHERE seq = ?
"""
_WAIT = """
UPDATE requests SET
    status = 'queued', owner = NULL, reservation = NULL, generation = ?, not_before = ?,
    poison = ?, next_check = ?, parked = ?
WHERE seq = ? RETURNING *
"""
_PARK = """
UPDATE requests SET generation = ?, not_before = ?, next_check = ?, parked = ?, parked_for = ?
WHERE seq = ? RETURNING *
"""
_UNBOOK = """
UPDATE requests SET parked = 0, not_before = NULL, parked_for = NULL
WHERE status = 'queued' AND parked = 1 AND parked_for IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Return:
    """With what a running request goes back to wait."""

    generation: int
    not_before: float | None
    poison: int


def claim(
    file: apsw.Connection, message: Envelope, claimant: Claimant, now: float, retention_s: float
) -> Claim:
    """Decide by the table and, for `Run`, write it."""
    row = find(file, message.id)
    if row is None and not line_ends.may_begin(file, message):
        return Done()
    answer = decide_claim(found_in(row), message, claimant, now, retention_s)
    if isinstance(answer, Run):
        _start(file, row or insert(file, message, now), message, claimant, answer, now)
    return answer


def take_over(
    file: apsw.Connection,
    message: Envelope,
    claimant: Claimant,
    dead_owner: str,
    now: float,
    retention_s: float,
) -> Claim:
    """As `claim`, but a run of `dead_owner` is taken from it."""
    row = find(file, message.id)
    if row is None and not line_ends.may_begin(file, message):
        return Done()
    answer = decide_take_over(found_in(row), message, claimant, dead_owner, now, retention_s)
    if isinstance(answer, Run):
        _start(file, row or insert(file, message, now), message, claimant, answer, now)
    return answer


def next_attempt(
    file: apsw.Connection,
    request_id: str,
    attempt: int,
    claimant: Claimant,
    now: float,
    made: Attempt | None,
) -> bool:
    """Write attempt + 1, if this process still runs it as `attempt`; True if that is written."""
    row = find(file, request_id)
    if row is None:
        return False
    if _runs_as(row, claimant.owner, attempt + 1) and row.reservation == claimant.reservation:
        return True
    if not _runs_as(row, claimant.owner, attempt):
        return False
    file.execute(
        "UPDATE requests SET attempt = attempt + 1, reservation = ?, next_check = ? WHERE seq = ?",
        (claimant.reservation, next_check(as_open(row, running=True), now), row.seq),
    )
    tell_attempt(file, row, made)
    return True


def requeue(
    file: apsw.Connection,
    copy: Envelope,
    attempt: int,
    owner: str,
    now: float,
    made: Attempt | None,
) -> tuple[bool, Placed | None]:
    """Let a run of this process wait again as `copy` says; True also when it already does."""
    row = find(file, copy.id)
    if row is None:
        return False, None
    if _runs_as(row, owner, attempt):
        back = Return(copy.generation, copy.not_before, row.poison)
        tell_attempt(file, row, made)
        return True, wait_again(file, row, back, now)
    waits = (row.status, row.generation, row.attempt)
    return waits == (Status.QUEUED, copy.generation, attempt), None


def park(
    file: apsw.Connection, copy: Envelope, what: str, now: float
) -> tuple[bool, Placed | None]:
    """Let a waiting request wait until the copy's time; True also if a newer copy waits."""
    row = find(file, copy.id)
    if row is None or row.status != Status.QUEUED:
        return False, None
    if row.generation > copy.generation:
        return True, None
    check = next_check(as_open(copy, running=False), now)
    parked = int(_lies_ahead(copy.not_before, now))
    values = (copy.generation, copy.not_before, check, parked, what, row.seq)
    return True, placed(row_from(file.execute(_PARK, values).fetchall()[0]))


def release(file: apsw.Connection, request_id: str, dead_owner: str, now: float) -> Placed | None:
    """Let a run of a dead process wait again; None if it is no longer that one's."""
    row = find(file, request_id)
    if row is None or row.status != Status.IN_PROGRESS or row.owner != dead_owner:
        return None
    return wait_again(file, row, _returned_by_the_dead(row), now)


def release_older_lives(file: apsw.Connection, owner: str, now: float) -> int:
    """Let everything wait again that an earlier life of this process ran; return how many."""
    query = (
        "SELECT * FROM requests"
        " WHERE next_check IS NOT NULL AND status = 'in_progress' AND owner <> ?"
    )
    rows = [row_from(values) for values in file.execute(query, (owner,)).fetchall()]
    for row in rows:
        wait_again(file, row, _returned_by_the_dead(row), now)
    return len(rows)


def unbook_all(file: apsw.Connection) -> None:
    """Let everything ask again that was parked for its turn under a limit.

    Turns are kept in memory: what comes in to a new life would be given theirs.
    """
    file.execute(_UNBOOK)


def wait_again(file: apsw.Connection, row: Row, back: Return, now: float) -> Placed:
    """Write a running row back to `queued`; return where it waits."""
    parked = int(_lies_ahead(back.not_before, now))
    check = next_check(as_open(row, running=False), now)
    values = (back.generation, back.not_before, back.poison, check, parked, row.seq)
    return placed(row_from(file.execute(_WAIT, values).fetchall()[0]))


def witness(file: apsw.Connection, request_ids: list[str], owner: str) -> dict[str, Status]:
    """Mark the runs of this process among `request_ids` as seen; return every status."""
    ids = orjson.dumps(request_ids).decode()
    file.execute(
        "UPDATE requests SET witnessed = attempt WHERE status = 'in_progress' AND owner = ?"
        " AND witnessed <> attempt AND id IN (SELECT value FROM json_each(?))",
        (owner, ids),
    )
    return statuses(file, request_ids)


def statuses(file: apsw.Connection, request_ids: list[str]) -> dict[str, Status]:
    """Return the status of each known id."""
    query = "SELECT id, status FROM requests WHERE id IN (SELECT value FROM json_each(?))"
    found = file.execute(query, (orjson.dumps(request_ids).decode(),))
    return {str(request_id): Status(str(status)) for request_id, status in found}


def tell_attempt(file: apsw.Connection, row: Row, made: Attempt | None) -> None:
    """Let an attempt that has ended join the history of its request."""
    if made is not None:
        history = encode_history(with_attempt(decode_history(row.history), made))
        file.execute("UPDATE requests SET history = ? WHERE seq = ?", (history, row.seq))


def _lies_ahead(not_before: float | None, now: float) -> bool:
    return not_before is not None and not_before > now


def _returned_by_the_dead(row: Row) -> Return:
    return Return(row.generation, row.not_before, row.poison + int(was_witnessed(row)))


def _start(
    file: apsw.Connection,
    row: Row,
    message: Envelope,
    claimant: Claimant,
    run: Run,
    now: float,
) -> None:
    check = next_check(as_open(row, running=True), now)
    counts = (run.attempt, run.poison, message.generation)
    values = (claimant.owner, claimant.reservation, *counts, now, check, row.seq)
    file.execute(_START, values)


def _runs_as(row: Row, owner: str, attempt: int) -> bool:
    return (row.status, row.owner, row.attempt) == (Status.IN_PROGRESS, owner, attempt)
