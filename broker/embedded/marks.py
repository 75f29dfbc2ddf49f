"""The marks by which requests are found that were made of messages without an id."""

from __future__ import annotations

import apsw

from broker.ports.store import MARK_KEPT_S


def put(file: apsw.Connection, mark: bytes, request_id: str, now: float) -> None:
    """Let the request be found by `mark`, instead of an earlier one."""
    values = (mark, request_id, now + MARK_KEPT_S)
    file.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", values)


def take(file: apsw.Connection, mark: bytes, now: float) -> str | None:
    """Return the id that `mark` finds, and forget the mark."""
    query = "DELETE FROM marks WHERE mark = ? AND expires_at > ? RETURNING request_id"
    found: str | None = file.execute(query, (mark, now)).get
    return found


def forget(file: apsw.Connection, mark: bytes) -> None:
    """Forget a mark, if there is one."""
    file.execute("DELETE FROM marks WHERE mark = ?", (mark,))
