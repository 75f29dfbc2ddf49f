"""Lists of batches: a tenant's pages, those that have not ended, those that want a runner."""

from __future__ import annotations

import math

import apsw

from broker.embedded.batch_rows import BatchRow, batch_of, find, readable
from schemas.batches import Batch

_PAGE = """
SELECT * FROM batches
WHERE tenant = ? AND (created_at, id) < (?, ?) AND (expires_at IS NULL OR expires_at > ?)
ORDER BY created_at DESC, id DESC LIMIT ?
"""
_RUNNING = """
SELECT * FROM batches WHERE tenant = ? AND expires_at IS NULL ORDER BY created_at, id
"""
_UNFINISHED = """
SELECT id FROM batches WHERE told = 0 AND (expires_at IS NULL OR expires_at > ?)
ORDER BY created_at, id
"""
_LAST_ID = "~"  # no id sorts behind it


def page(
    file: apsw.Connection, tenant: str, after: str | None, limit: int, now: float
) -> list[Batch] | None:
    """Return a page, newest first; None if `after` is no batch of the tenant."""
    place: tuple[float, str] = (math.inf, _LAST_ID)
    if after is not None:
        row = find(file, after)
        if row is None or row.tenant != tenant or not readable(row, now):
            return None
        place = (row.created_at, row.id)
    found = file.execute(_PAGE, (tenant, *place, now, limit))
    return [batch_of(BatchRow(*values)) for values in found]


def running(file: apsw.Connection, tenant: str) -> list[Batch]:
    """Return a tenant's batches that have not ended, oldest first."""
    return [batch_of(BatchRow(*values)) for values in file.execute(_RUNNING, (tenant,))]


def unfinished(file: apsw.Connection, now: float) -> list[str]:
    """Return the batches that want a runner, oldest first."""
    return [str(batch_id) for (batch_id,) in file.execute(_UNFINISHED, (now,))]
