"""What leaves the file once nobody may read it any more, in small steps."""

from __future__ import annotations

import apsw

from broker.embedded.batch_steps import erase_batch
from broker.embedded.rows import erase_all

_BATCH = 1_000
_OLD_MARKS = """
DELETE FROM marks WHERE (mark, request_id) IN
    (SELECT mark, request_id FROM marks WHERE expires_at <= ? LIMIT ?)
"""
_EXPIRED = (
    "DELETE FROM results WHERE seq IN (SELECT seq FROM results WHERE expires_at <= ? LIMIT ?)",
    "DELETE FROM asked WHERE seq IN (SELECT seq FROM asked WHERE expires_at <= ? LIMIT ?)",
    _OLD_MARKS,
)
_OLD_BATCH = "SELECT seq FROM batches WHERE expires_at <= ? LIMIT 1"
_GONE = "SELECT seq FROM requests WHERE gone_at <= ? LIMIT ?"


def sweep(file: apsw.Connection, now: float) -> bool:
    """Delete a batch of each kind; True when there may be more of one."""
    more = False
    for delete in _EXPIRED:
        file.execute(delete, (now, _BATCH))
        more |= file.changes() == _BATCH
    gone = [int(seq) for (seq,) in file.execute(_GONE, (now, _BATCH))]
    erase_all(file, gone)
    old: int | None = file.execute(_OLD_BATCH, (now,)).get
    if old is not None:
        erase_batch(file, old)
    return more or len(gone) == _BATCH or old is not None
