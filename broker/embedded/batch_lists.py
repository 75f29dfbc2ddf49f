"""Lists of batches: a tenant's pages, those that have not ended, those that want a runner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import apsw

from broker.embedded.batch_rows import BatchRow, batch_of, find, readable
from schemas.batches import Batch, Dialect

_NEWEST = """
SELECT * FROM batches WHERE tenant = ? AND dialect = ? AND (created_at, id) < (?, ?)
AND (expires_at IS NULL OR expires_at > ?) ORDER BY created_at DESC, id DESC LIMIT ?
"""
_OLDEST = """
SELECT * FROM batches WHERE tenant = ? AND dialect = ? AND (created_at, id) > (?, ?)
AND (expires_at IS NULL OR expires_at > ?) ORDER BY created_at, id LIMIT ?
"""
_RUNNING = """
SELECT * FROM batches WHERE tenant = ? AND expires_at IS NULL ORDER BY created_at, id
"""
_UNFINISHED = """
SELECT id FROM batches WHERE told = 0 AND (expires_at IS NULL OR expires_at > ?)
ORDER BY created_at, id
"""
_FIRST_ID, _LAST_ID = "", "~"  # no id sorts before the one or behind the other


@dataclass(frozen=True, slots=True)
class Listed:
    """Which batches a list shows."""

    tenant: str
    dialect: Dialect
    newest_first: bool


def page(
    file: apsw.Connection, listed: Listed, after: str | None, limit: int, now: float
) -> list[Batch] | None:
    """Return a page; None if `after` is no batch of the list."""
    of = (listed.tenant, listed.dialect)
    newest = listed.newest_first
    place: tuple[float, str] = (math.inf, _LAST_ID) if newest else (-math.inf, _FIRST_ID)
    if after is not None:
        row = find(file, after)
        if row is None or (row.tenant, row.dialect) != of or not readable(row, now):
            return None
        place = (row.created_at, row.id)
    found = file.execute(_NEWEST if newest else _OLDEST, (*of, *place, now, limit))
    return [batch_of(BatchRow(*values)) for values in found]


def running(file: apsw.Connection, tenant: str) -> list[Batch]:
    """Return a tenant's batches that have not ended, oldest first."""
    return [batch_of(BatchRow(*values)) for values in file.execute(_RUNNING, (tenant,))]


def unfinished(file: apsw.Connection, now: float) -> list[str]:
    """Return the batches that want a runner, oldest first."""
    return [str(batch_id) for (batch_id,) in file.execute(_UNFINISHED, (now,))]
