"""Lists of requests: pages by (accepted_at, id), found in steps of bounded work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw
import orjson

from broker.embedded.database import Database
from broker.embedded.rows import Row, find, record_of, row_from
from broker.ports import Selection
from schemas.lifecycle import TERMINAL
from schemas.record import Record
from schemas.result import HEAD_BYTES, Result, decode_head

_MOST = 1_000  # rows that one step looks at
_STEP = """
SELECT seq, accepted_at, id,
    (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
    AND (:model IS NULL OR model = :model)
    AND (:priority IS NULL OR priority = :priority)
    AND {readable}
FROM requests
WHERE tenant = :tenant AND {shelf} AND (accepted_at, id) {beyond} (:at, :id)
    AND accepted_at {within} :end
ORDER BY accepted_at {order}, id {order} LIMIT :most
"""


class Place(NamedTuple):
    """Where a request stands in every list."""

    accepted_at: float
    id: str


# No id sorts before the first of these or behind the second.
_FIRST_ID, _LAST_ID = "", "~"
_FORWARD = {"beyond": ">", "within": "<", "order": "ASC"}
_BACK = {"beyond": "<", "within": ">", "order": "DESC"}


@dataclass(frozen=True, slots=True)
class Step:
    """The matches among some rows, and how far they reach: None when there is no more."""

    records: list[Record]
    reached: Place | None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Which rows a list is drawn from, and which of them it may show."""

    rows: str
    readable: str

    def step(
        self, file: apsw.Connection, selection: Selection, tenant: str, place: Place, now: float
    ) -> tuple[list[int], Place | None]:
        """Return the numbers of the matching rows among the next ones beyond `place`."""
        way = _BACK if selection.newest_first else _FORWARD
        query = _STEP.format(shelf=self.rows, readable=self.readable, **way)
        rows: list[Any] = file.execute(query, _bindings(selection, tenant, place, now)).fetchall()
        reached = Place(*rows[-1][1:3]) if len(rows) == _MOST else None
        return [seq for seq, _, _, fits in rows if fits], reached


REQUESTS = Shelf("batch IS NULL", "(expires_at IS NULL OR expires_at > :now)")
DEAD_LETTERS = Shelf("dead = 1", "TRUE")


class Lists:
    """The lists drawn from one shelf."""

    def __init__(self, database: Database, clock: Callable[[], float], shelf: Shelf) -> None:
        self._database = database
        self._clock = clock
        self._shelf = shelf

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return a page; None if `after` is no request of the selection's tenant."""
        start = _outermost(selection)
        if after is not None:
            known = await self._database.read(_place_of, after, selection.tenant)
            if known is None:
                return None
            start = (min if selection.newest_first else max)(start, known)
        found: list[Record] = []
        for tenant in await self._database.read(_tenants, selection.tenant):
            found += await self._of_tenant(selection, tenant, start, limit)
        found.sort(key=lambda each: (each.accepted_at, each.id), reverse=selection.newest_first)
        return found[:limit]

    async def _of_tenant(
        self, selection: Selection, tenant: str, start: Place, limit: int
    ) -> list[Record]:
        found: list[Record] = []
        place: Place | None = start
        while place is not None and len(found) < limit:
            room = limit - len(found)
            step = await self._database.read(self._step, selection, tenant, place, room)
            found += step.records
            place = step.reached
        return found

    def _step(
        self, file: apsw.Connection, selection: Selection, tenant: str, place: Place, room: int
    ) -> Step:
        with file:  # one view of the file, so that a row and its result belong together
            numbers, reached = self._shelf.step(file, selection, tenant, place, self._clock())
            records = [_listed(file, seq) for seq in numbers[:room]]
        return Step(records, reached)


def _bindings(
    selection: Selection, tenant: str, place: Place, now: float
) -> dict[str, str | float | None]:
    end = selection.created_after if selection.newest_first else selection.created_before
    statuses = selection.statuses
    return {
        "tenant": tenant,
        "statuses": orjson.dumps(sorted(statuses)).decode() if statuses else None,
        "model": selection.model,
        "priority": selection.priority and selection.priority.value,
        "end": end if end is not None else -math.inf if selection.newest_first else math.inf,
        "at": place.accepted_at,
        "id": place.id,
        "now": now,
        "most": _MOST,
    }


def _outermost(selection: Selection) -> Place:
    """Return the place before the first that the selection's instants allow."""
    if selection.newest_first:
        before = selection.created_before
        return Place(math.inf, _LAST_ID) if before is None else Place(before, _FIRST_ID)
    after = selection.created_after
    return Place(-math.inf, _FIRST_ID) if after is None else Place(after, _LAST_ID)


def _place_of(file: apsw.Connection, request_id: str, tenant: str | None) -> Place | None:
    row = find(file, request_id)
    if row is None or tenant not in (None, row.tenant):
        return None
    return Place(row.accepted_at, row.id)


def _tenants(file: apsw.Connection, tenant: str | None) -> list[str]:
    if tenant is not None:
        return [tenant]
    return [str(each) for (each,) in file.execute("SELECT tenant FROM open_counts")]


def _listed(file: apsw.Connection, seq: int) -> Record:
    row = row_from(file.execute("SELECT * FROM requests WHERE seq = ?", (seq,)).fetchall()[0])
    return record_of(row, _head_of(file, row) if row.status in TERMINAL else None)


def _head_of(file: apsw.Connection, row: Row) -> Result | None:
    """Return the result without its body, which is not read either."""
    if not file.execute("SELECT count(*) FROM results WHERE seq = ?", (row.seq,)).get:
        return None
    with file.blob_open("main", "results", "data", row.seq, False) as stored:
        head = stored.read(HEAD_BYTES)
    return decode_head(head)
