"""Who holds a request: a hand-over to another process, the join of a repeated call (PROTOCOL 5)."""

from __future__ import annotations

import apsw

from broker.embedded.rows import find, record_of
from schemas.ids import partition_of_seed
from schemas.lifecycle import TERMINAL
from schemas.record import Record

_JOINABLE = """
SELECT id FROM requests INDEXED BY joinable
WHERE body_hash = ? AND tenant = ? AND partition = ?
    AND next_check IS NOT NULL AND held_by IS NOT NULL
ORDER BY accepted_at DESC, id DESC LIMIT 1
"""


def join(file: apsw.Connection, tenant: str, body_hash: bytes, holder: str) -> Record | None:
    """Let `holder` hold the newest open, held request with this body; None if there is none."""
    values = (body_hash, tenant, partition_of_seed(body_hash))
    found: str | None = file.execute(_JOINABLE, values).get
    return None if found is None else hold(file, found, holder)


def hold(file: apsw.Connection, request_id: str, holder: str) -> Record | None:
    """Let `holder` hold an open request, if somebody does; None if it is not open."""
    row = find(file, request_id)
    if row is None or row.status in TERMINAL:
        return None
    if row.held_by is None:
        return record_of(row)
    file.execute("UPDATE requests SET held_by = ? WHERE seq = ?", (holder, row.seq))
    return record_of(row._replace(held_by=holder))
