"""Rows of the tables `files` and `file_parts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import apsw

from broker.ports import FileSelection
from schemas.files import Part, StoredFile

_INSERT = """
INSERT INTO files (id, tenant, purpose, filename, bytes, created_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_FIND = """
SELECT id, tenant, purpose, filename, bytes, created_at, expires_at
FROM files WHERE id = ? AND expires_at > ?
"""
_PAGE = """
SELECT id, tenant, purpose, filename, bytes, created_at, expires_at FROM files
WHERE tenant = :tenant AND {purpose} AND (created_at, id) {beyond} (:at, :id)
    AND expires_at > :now
ORDER BY created_at {order}, id {order} LIMIT :limit
"""
_FORWARD = {"beyond": ">", "order": "ASC"}
_BACK = {"beyond": "<", "order": "DESC"}
_LAST_ID = "~"  # no id sorts behind it


def create(file: apsw.Connection, made: StoredFile, parts: Sequence[Part]) -> bool:
    """Note a file and its parts; False if its id is taken."""
    values = (
        made.id,
        made.tenant,
        made.purpose,
        made.filename,
        made.bytes,
        made.created_at,
        made.expires_at,
    )
    file.execute(_INSERT, values)
    if file.changes() == 0:
        return False
    seq = file.last_insert_rowid()
    for part in parts:
        _put(file, seq, part)
    return True


def append(file: apsw.Connection, made: StoredFile, part: Part) -> None:
    """Add a part to a file, which is made where it is not there."""
    create(file, made, ())
    seq = _seq(file, made.id)
    _put(file, seq, part)
    file.execute("UPDATE files SET bytes = bytes + ? WHERE seq = ?", (part.bytes, seq))


def has_part(file: apsw.Connection, file_id: str, part: Part) -> bool:
    """Tell whether a file has this part already."""
    query = "SELECT count(*) FROM file_parts WHERE file = ? AND key = ?"
    return bool(file.execute(query, (_seq(file, file_id), part.key)).get)


def find(file: apsw.Connection, file_id: str, now: float) -> StoredFile | None:
    """Return what is known of a file that has not expired."""
    found: Any = file.execute(_FIND, (file_id, now)).get
    return None if found is None else StoredFile(*found)


def parts(file: apsw.Connection, file_id: str, now: float) -> list[Part]:
    """Return the parts of a file that has not expired."""
    return [] if find(file, file_id, now) is None else _parts(file, file_id)


def page(
    file: apsw.Connection, selection: FileSelection, after: str | None, limit: int, now: float
) -> list[StoredFile] | None:
    """Return a page of files; None if `after` is no file of the tenant."""
    bindings: dict[str, Any] = {
        "tenant": selection.tenant,
        "purpose": selection.purpose,
        "at": math.inf if selection.newest_first else -math.inf,
        "id": _LAST_ID if selection.newest_first else "",
        "now": now,
        "limit": limit,
    }
    if after is not None:
        place = find(file, after, now)
        if place is None or place.tenant != selection.tenant:
            return None
        bindings |= {"at": place.created_at, "id": place.id}
    way = _BACK if selection.newest_first else _FORWARD
    purpose = "TRUE" if selection.purpose is None else "purpose = :purpose"
    rows: list[Any] = file.execute(_PAGE.format(purpose=purpose, **way), bindings).fetchall()
    return [StoredFile(*found) for found in rows]


def delete(file: apsw.Connection, file_id: str) -> list[Part]:
    """Forget a file, expired or not, and return the parts it had."""
    had, seq = _parts(file, file_id), _seq(file, file_id)
    file.execute("DELETE FROM file_parts WHERE file = ?", (seq,))
    file.execute("DELETE FROM files WHERE seq = ?", (seq,))
    return had


def expired(file: apsw.Connection, limit: int, now: float) -> list[str]:
    """Return the ids of files past their time."""
    query = "SELECT id FROM files WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
    return [str(file_id) for (file_id,) in file.execute(query, (now, limit))]


def _parts(file: apsw.Connection, file_id: str) -> list[Part]:
    query = "SELECT key, bytes FROM file_parts WHERE file = ? ORDER BY number"
    rows: list[Any] = file.execute(query, (_seq(file, file_id),)).fetchall()
    return [Part(*found) for found in rows]


def _put(file: apsw.Connection, seq: int | None, part: Part) -> None:
    new = "INSERT INTO file_parts (file, key, bytes) VALUES (?, ?, ?)"
    file.execute(new, (seq, part.key, part.bytes))


def _seq(file: apsw.Connection, file_id: str) -> int | None:
    seq: int | None = file.execute("SELECT seq FROM files WHERE id = ?", (file_id,)).get
    return seq
