"""Lists of a tenant's deliveries: pages by (created_at, id), newest first, in bounded steps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import apsw

from broker.embedded.database import Database
from broker.embedded.hook_posts import post_from
from broker.ports import Post, PostSelection

_MOST = 1_000  # rows that one step looks at
_LAST_ID = "~"  # no id sorts behind it
_STEP = """
SELECT seq, created_at, id,
    (:endpoint IS NULL OR endpoint = :endpoint)
    AND (:request_id IS NULL OR request_id = :request_id)
    AND (:state IS NULL OR state = :state)
FROM hook_posts
WHERE tenant = :tenant AND (created_at, id) < (:at, :id) AND created_at > :end
ORDER BY created_at DESC, id DESC LIMIT :most
"""
# A row without its event, which may be long.
_LISTED = """
SELECT seq, id, tenant, request_id, endpoint, url, event_type, created_at, due_at, secret, state,
    tried, tries, receiver, free_at, settled_at, x''
FROM hook_posts WHERE seq = ?
"""


class Place(NamedTuple):
    """Where a delivery stands in the list of its tenant."""

    created_at: float
    id: str


class HookLists:
    """The lists of deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def select(
        self, selection: PostSelection, after: str | None, limit: int
    ) -> list[Post] | None:
        """Return a page; None if `after` is no delivery of the selection's tenant."""
        before = selection.created_before
        place: Place | None = Place(math.inf, _LAST_ID) if before is None else Place(before, "")
        if after is not None:
            known = await self._database.read(_place_of, after, selection.tenant)
            if known is None:
                return None
            place = min(place, known) if place else known
        found: list[Post] = []
        while place is not None and len(found) < limit:
            posts, place = await self._database.read(_step, selection, place, limit - len(found))
            found += posts
        return found


def _step(
    file: apsw.Connection, selection: PostSelection, place: Place, room: int
) -> tuple[list[Post], Place | None]:
    """Return the matches among the next rows, and how far they reach: None at the end."""
    bindings = {
        "tenant": selection.tenant,
        "endpoint": selection.endpoint,
        "request_id": selection.request_id,
        "state": selection.state and selection.state.value,
        "end": -math.inf if selection.created_after is None else selection.created_after,
        "at": place.created_at,
        "id": place.id,
        "most": _MOST,
    }
    with file:  # one view of the file
        rows: list[Any] = file.execute(_STEP, bindings).fetchall()
        posts = [_listed(file, seq) for seq, _, _, fits in rows if fits][:room]
    return posts, Place(*rows[-1][1:3]) if len(rows) == _MOST else None


def _listed(file: apsw.Connection, seq: int) -> Post:
    return post_from(file.execute(_LISTED, (seq,)).fetchall()[0])


def _place_of(file: apsw.Connection, post_id: str, tenant: str) -> Place | None:
    query = "SELECT created_at, id FROM hook_posts WHERE id = ? AND tenant = ?"
    found: list[Any] = file.execute(query, (post_id, tenant)).fetchall()
    return Place(*found[0]) if found else None
