"""The lines of batches as requests: which may still be made, which run, which have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import orjson

from broker.embedded import line_bits
from broker.embedded.batch_rows import BatchRow, find
from broker.embedded.rows import Row, record_of, row_from
from broker.ports import EndedLine
from schemas.batches import BatchStatus
from schemas.envelope import Envelope
from schemas.result import decode_result

_NOTE = """
INSERT INTO line_ends (batch, line, request)
SELECT seq, ?, ? FROM batches WHERE id = ? AND expires_at IS NULL
"""
_ENDS = """
SELECT e.line, length(r.data), r.data, q.*
FROM ({ends}) e JOIN requests q ON q.seq = e.request LEFT JOIN results r ON r.seq = e.request
ORDER BY {order}
"""
_AS_THEY_END = _ENDS.format(
    ends="SELECT * FROM line_ends WHERE batch = ? ORDER BY number LIMIT ? OFFSET ?",
    order="e.number",
)
_IN_ORDER = _ENDS.format(
    ends="SELECT * FROM line_ends WHERE batch = ? AND line >= ? ORDER BY line LIMIT ?",
    order="e.line",
)
_GATHERABLE = """
SELECT request FROM line_ends
WHERE batch = ? AND line IN (SELECT value FROM json_each(?))
"""
_DROP = "DELETE FROM line_ends WHERE batch = ? AND line IN (SELECT value FROM json_each(?))"


def may_begin(file: apsw.Connection, message: Envelope) -> bool:
    """Tell whether a request without a record may run: a line only if its batch waits for it."""
    if message.batch is None:
        return True
    batch = _waiting_for(file, message.batch, message.line)
    return batch is not None and batch.status == BatchStatus.IN_PROGRESS


def may_end(file: apsw.Connection, message: Envelope) -> bool:
    """Tell whether a request without a record may be committed, also if its batch is cancelled."""
    return message.batch is None or (_waiting_for(file, message.batch, message.line) is not None)


def note(file: apsw.Connection, row: Row) -> bool:
    """Note the end of a line for its batch to gather; False for any other request.

    One whose batch has ended before is like those.
    """
    if row.batch is None:
        return False
    file.execute(_NOTE, (row.line, row.seq, row.batch))
    return file.changes() == 1


def ends(
    file: apsw.Connection, batch_id: str, limit: int, max_bytes: int, skip: int
) -> Sequence[EndedLine]:
    """Return the next lines to gather behind `skip` of them.

    At most `limit`, and one over `max_bytes` of results.
    """
    batch = find(file, batch_id)
    if batch is None:
        return []
    found: list[EndedLine] = []
    expected, size = batch.gathered_to + skip, 0
    for line, length, data, *values in _ended(file, batch, limit, skip):
        size += length or 0
        if (batch.in_order and line != expected) or (found and size > max_bytes):
            break
        result = None if data is None else decode_result(data)
        found.append(EndedLine(line, record_of(row_from(values), result)))
        expected += 1
    return found


def unended(file: apsw.Connection, batch_id: str) -> list[int]:
    """Return the lines that were made and have not ended."""
    query = "SELECT line FROM requests WHERE batch = ? AND next_check IS NOT NULL ORDER BY line"
    return [int(line) for (line,) in file.execute(query, (batch_id,))]


def gatherable(file: apsw.Connection, batch: int, lines: Sequence[int]) -> list[int] | None:
    """Return the numbers of the lines' requests; None if one of them has no end to gather."""
    found = file.execute(_GATHERABLE, (batch, _listed(lines)))
    requests = [int(seq) for (seq,) in found]
    return requests if len(requests) == len(lines) else None


def drop(file: apsw.Connection, batch: int, lines: Sequence[int]) -> None:
    """Let these ends be gathered."""
    file.execute(_DROP, (batch, _listed(lines)))


def _listed(lines: Sequence[int]) -> str:
    return orjson.dumps(list(lines)).decode()


def _ended(file: apsw.Connection, batch: BatchRow, limit: int, skip: int) -> Any:
    if batch.in_order:
        return file.execute(_IN_ORDER, (batch.seq, batch.gathered_to + skip, limit))
    return file.execute(_AS_THEY_END, (batch.seq, limit, skip))


def _waiting_for(file: apsw.Connection, batch_id: str, line: int | None) -> BatchRow | None:
    """Return the batch that has not ended and has not gathered this line, if there is one."""
    batch = find(file, batch_id)
    if batch is None or batch.expires_at is not None or line is None:
        return None
    return None if line_bits.among(file, batch.seq, "gathered", [line]) else batch
