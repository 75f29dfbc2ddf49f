"""The marks by which requests are found that were made of messages without an id."""

from __future__ import annotations

import apsw

from broker.ports.store import MARK_KEPT_S

_TAKE = """
DELETE FROM marks WHERE (mark, request_id) IN
    (SELECT mark, request_id FROM marks WHERE mark = ? AND expires_at > ? LIMIT 1)
RETURNING request_id
"""


def put(file: apsw.Connection, mark: bytes, request_id: str, now: float) -> None:
    """Let the request be found by `mark`, beside others."""
    values = (mark, request_id, now + MARK_KEPT_S)
    file.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", values)


def take(file: apsw.Connection, mark: bytes, now: float) -> str | None:
    """Return an id that `mark` finds, and forget that it does."""
    found: str | None = file.execute(_TAKE, (mark, now)).get
    return found


def forget(file: apsw.Connection, mark: bytes, request_id: str) -> bool:
    """Forget that `mark` finds this request; False if it does not."""
    file.execute("DELETE FROM marks WHERE mark = ? AND request_id = ?", (mark, request_id))
    return file.changes() == 1
