"""Reading who waits: always from the index, so that memory does not grow with the backlog."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import apsw
import orjson

from schemas.codec import decode
from schemas.envelope import Envelope
from schemas.priority import Priority

Copy = tuple[str, int]

_NEXT = """
SELECT id, generation, not_before, data FROM requests JOIN envelopes USING (seq)
WHERE model = ? AND priority = ? AND status = 'queued' AND parked = 0
  AND id || ':' || generation NOT IN (SELECT value FROM json_each(?))
ORDER BY accepted_at, seq LIMIT ?
"""
_COUNT = """
SELECT count(*) FROM requests
WHERE model = ? AND priority = ? AND status = 'queued' AND parked = 0
  AND id || ':' || generation NOT IN (SELECT value FROM json_each(?))
"""


def next_waiting(
    file: apsw.Connection, model: str, priority: Priority, taken: Collection[Copy], limit: int
) -> list[Envelope]:
    """Return the oldest waiting requests of a class that are not in `taken`."""
    values = (model, priority.value, _as_json(taken), limit)
    return [
        replace(decode(data), generation=generation, not_before=not_before)
        for _, generation, not_before, data in file.execute(_NEXT, values)
    ]


def count_waiting(
    file: apsw.Connection, model: str, priority: Priority, taken: Collection[Copy]
) -> int:
    """Return how many wait, without those in `taken`."""
    return int(file.execute(_COUNT, (model, priority.value, _as_json(taken))).get)


def first_parked(file: apsw.Connection) -> float | None:
    """Return the earliest booked turn, if any request is parked."""
    query = "SELECT min(not_before) FROM requests WHERE status = 'queued' AND parked = 1"
    found: float | None = file.execute(query).get
    return found


def unpark(file: apsw.Connection, now: float) -> bool:
    """Let those wait whose turn has come; tell whether there were any."""
    file.execute(
        "UPDATE requests SET parked = 0 WHERE status = 'queued' AND parked = 1 AND not_before <= ?",
        (now,),
    )
    return file.changes() > 0


def _as_json(taken: Collection[Copy]) -> str:
    return orjson.dumps([f"{request_id}:{generation}" for request_id, generation in taken]).decode()
