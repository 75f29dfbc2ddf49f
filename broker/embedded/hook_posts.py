"""Deliveries of webhooks as rows: noted, leased in the lines of their receivers, told, dropped.

Leases die with the process that holds them, since there is one: `free_all` says so at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw
import msgpack

from broker.ports import Post, PostAttempt, PostState
from broker.ports.webhooks import KEPT_POSTS, KEPT_TRIES
from broker.posts import decode_try, encode_try

_FORGET_BATCH = 1_000
_ADD = """
INSERT INTO hook_posts (id, tenant, request_id, endpoint, url, event_type, created_at, due_at,
    secret, state, tried, tries, receiver, free_at, event)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_NO_TRIES = msgpack.packb([])
# The receivers that something waits for, found by as many steps through the index.
_LINES = """
WITH RECURSIVE lines (receiver) AS (
    SELECT min(receiver) FROM hook_posts WHERE free_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(p.receiver) FROM hook_posts p
        WHERE p.free_at IS NOT NULL AND p.receiver > lines.receiver
    ) FROM lines WHERE receiver IS NOT NULL
)
SELECT receiver FROM lines WHERE receiver IS NOT NULL
"""
_HEAD_OF_LINE = """
SELECT free_at, seq FROM hook_posts
WHERE receiver = ? AND free_at <= ? ORDER BY free_at, seq LIMIT ?
"""
_SETTLE = "UPDATE hook_posts SET state = ?, free_at = NULL, settled_at = ? WHERE seq = ?"
_COUNT = """
INSERT INTO hook_counts VALUES (?, ?)
ON CONFLICT DO UPDATE SET settled = settled + excluded.settled RETURNING settled
"""
_OLDEST = """
SELECT seq, tenant FROM hook_posts WHERE tenant = ? AND settled_at IS NOT NULL
ORDER BY settled_at, seq LIMIT ?
"""


class HookRow(NamedTuple):
    """One row, in the order of the columns."""

    seq: int
    id: str
    tenant: str
    request_id: str
    endpoint: str | None
    url: str
    event_type: str
    created_at: float
    due_at: float
    secret: str | None
    state: str
    tried: int
    tries: bytes
    receiver: str
    free_at: float | None
    settled_at: float | None
    event: bytes


def post_from(values: Any) -> Post:
    """Return the delivery in the values of a row."""
    row = HookRow(*values)
    return Post(
        id=row.id,
        tenant=row.tenant,
        request_id=row.request_id,
        endpoint=row.endpoint,
        url=row.url,
        event_type=row.event_type,
        event=row.event,
        created_at=row.created_at,
        due_at=row.due_at,
        secret=row.secret,
        state=PostState(row.state),
        tried=row.tried,
        tries=tuple(decode_try(each) for each in msgpack.unpackb(row.tries)),
    )


def find(file: apsw.Connection, tenant: str, post_id: str) -> Post | None:
    """Return a delivery of a tenant."""
    query = "SELECT * FROM hook_posts WHERE id = ? AND tenant = ?"
    found = file.execute(query, (post_id, tenant)).fetchall()
    return post_from(found[0]) if found else None


def add(file: apsw.Connection, posts: Sequence[Post], lease_s: float, now: float) -> list[Post]:
    """Note those deliveries that are new; lease and return those of them that are due."""
    leased = []
    for post in posts:
        whose = (post.id, post.tenant, post.request_id, post.endpoint, post.url, post.event_type)
        waits = (post.created_at, post.due_at, post.secret, _NO_TRIES, post.receiver)
        is_due = post.due_at <= now
        free_at = now + lease_s if is_due else post.due_at
        file.execute(_ADD, (*whose, *waits, free_at, post.event))
        if is_due and file.changes():
            leased.append(post)
    return leased


def lease(
    file: apsw.Connection, limit: int, per_receiver: int, now: float, until: float
) -> list[Post]:
    """Lease what is due: the first of each line, then the second of each, and so on."""
    found = []
    for (receiver,) in file.execute(_LINES).fetchall():
        line = file.execute(_HEAD_OF_LINE, (receiver, now, per_receiver)).fetchall()
        found += [(place, free_at, seq) for place, (free_at, seq) in enumerate(line)]
    posts = []
    for _, _, seq in sorted(found)[:limit]:
        query = "UPDATE hook_posts SET free_at = ? WHERE seq = ? RETURNING *"
        posts.append(post_from(file.execute(query, (until, seq)).fetchall()[0]))
    return posts


def free_all(file: apsw.Connection) -> None:
    """Let what an earlier life had leased be leased again."""
    file.execute("UPDATE hook_posts SET free_at = due_at WHERE free_at > due_at")


def told(
    file: apsw.Connection,
    post_id: str,
    attempt: PostAttempt,
    state: PostState,
    due_at: float,
    now: float,
) -> bool:
    """Note an attempt and what follows; False if the delivery is not pending."""
    query = "SELECT seq, tenant, tries FROM hook_posts WHERE id = ? AND free_at IS NOT NULL"
    found: list[Any] = file.execute(query, (post_id,)).fetchall()
    for seq, tenant, packed in found:
        tries = msgpack.packb([*msgpack.unpackb(packed), encode_try(attempt)][-KEPT_TRIES:])
        noted = "UPDATE hook_posts SET tries = ?, tried = tried + 1 WHERE seq = ?"
        file.execute(noted, (tries, seq))
        if state is PostState.PENDING:
            waits = "UPDATE hook_posts SET due_at = ?, free_at = ? WHERE seq = ?"
            file.execute(waits, (due_at, due_at, seq))
        else:
            _settle(file, seq, tenant, state, now)
        return True
    return False


def put_off(file: apsw.Connection, post_ids: Sequence[str], due_at: float) -> None:
    """Let leased ones wait until `due_at`."""
    file.executemany(
        "UPDATE hook_posts SET due_at = ?, free_at = ? WHERE id = ? AND free_at > due_at",
        [(due_at, due_at, post_id) for post_id in post_ids],
    )


def redeliver(file: apsw.Connection, tenant: str, post_id: str, now: float) -> bool:
    """Make a delivery due now, unless it is leased; False if the tenant has no such."""
    query = "SELECT seq, due_at, free_at FROM hook_posts WHERE id = ? AND tenant = ?"
    found: list[Any] = file.execute(query, (post_id, tenant)).fetchall()
    for seq, due_at, free_at in found:
        if free_at is None:
            _count(file, tenant, -1)
        elif due_at < free_at and now < free_at:
            return True
        file.execute(
            "UPDATE hook_posts SET state = 'pending', settled_at = NULL, tried = 0, due_at = ?,"
            " free_at = ? WHERE seq = ?",
            (now, now, seq),
        )
        return True
    return False


def drop_line(file: apsw.Connection, receiver: str, now: float) -> None:
    """Settle all that waits for a receiver: it is gone."""
    query = "SELECT seq, tenant FROM hook_posts WHERE receiver = ? AND free_at IS NOT NULL"
    waiting: list[Any] = file.execute(query, (receiver,)).fetchall()
    for seq, tenant in waiting:
        _settle(file, seq, tenant, PostState.DROPPED, now)


def forget(file: apsw.Connection, before: float) -> bool:
    """Delete a batch of what was settled before; True when there may be more of it."""
    query = "SELECT seq, tenant FROM hook_posts WHERE settled_at < ? LIMIT ?"
    old = file.execute(query, (before, _FORGET_BATCH)).fetchall()
    _delete(file, old)
    return len(old) == _FORGET_BATCH


def _settle(file: apsw.Connection, seq: int, tenant: str, state: PostState, now: float) -> None:
    file.execute(_SETTLE, (state.value, now, seq))
    too_many = _count(file, tenant, 1) - KEPT_POSTS
    if too_many > 0:
        _delete(file, file.execute(_OLDEST, (tenant, too_many)).fetchall())


def _delete(file: apsw.Connection, rows: Sequence[Any]) -> None:
    for seq, tenant in rows:
        file.execute("DELETE FROM hook_posts WHERE seq = ?", (seq,))
        _count(file, tenant, -1)


def _count(file: apsw.Connection, tenant: str, more: int) -> int:
    return int(file.execute(_COUNT, (tenant, more)).get)
