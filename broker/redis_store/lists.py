"""Lists of requests, merged over the partitions: pages by (accepted_at, id)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from broker.ports import Selection
from broker.redis_store.batcher import Batcher
from broker.redis_store.fields import listed_record
from broker.redis_store.keys import Keys
from broker.redis_store.paging import (
    FIRST_ID,
    LAST_ID,
    Place,
    Stream,
    merged,
    outermost,
    share,
    stopped_at,
)
from broker.redis_store.scripts import script
from schemas.ids import is_request_id
from schemas.record import Record
from schemas.result import HEAD_BYTES

_MOST = 500  # entries that one script looks at


@dataclass(frozen=True, slots=True)
class _Source:
    """One zset to draw from; `dead` if it names dead letters."""

    tag: str
    key: str
    dead: bool


class Lists:
    """The lists of all requests and of the dead letters."""

    def __init__(self, batcher: Batcher, keys: Keys) -> None:
        self._batcher = batcher
        self._keys = keys

    async def requests(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return a page of requests; None if `after` is none of the selection's tenant."""
        sources = [
            _Source(tag, self._keys.list_of(tag, tenant), dead=False)
            for tag in self._keys.partitions
            for tenant in await self._tenants(tag, selection.tenant)
        ]
        return await self._select(sources, selection, after, limit)

    async def dead_letters(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return a page of dead letters."""
        sources = [
            _Source(tag, self._keys.dead_letters(tag), dead=True) for tag in self._keys.partitions
        ]
        return await self._select(sources, selection, after, limit)

    async def _tenants(self, tag: str, tenant: str | None) -> list[str]:
        if tenant is not None:
            return [tenant]
        known = await self._batcher.submit(tag, "HKEYS", self._keys.counts(tag))
        return [each.decode() for each in known]

    async def _select(
        self, sources: list[_Source], selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        start = _outermost(selection)
        if after is not None:
            known = await self._place_of(after, selection.tenant)
            if known is None:
                return None
            start = (min if selection.newest_first else max)(start, known)
        most = share(limit, len(sources))
        streams = [
            Stream(partial(self._scan, source, selection, most), start) for source in sources
        ]
        return await merged(streams, _place, limit, newest_first=selection.newest_first)

    async def _place_of(self, request_id: str, tenant: str | None) -> Place | None:
        if not is_request_id(request_id):
            return None
        key = self._keys.record(request_id)
        asked = self._batcher.submit(
            self._keys.tag(request_id), "HMGET", key, "accepted_at", "tenant"
        )
        accepted_at, owner = await asked
        if accepted_at is None or tenant not in (None, owner.decode()):
            return None
        return float(accepted_at), request_id

    async def _scan(
        self, source: _Source, selection: Selection, most: int, place: Place
    ) -> tuple[list[Record], Place | None]:
        newest = selection.newest_first
        end = selection.created_after if newest else selection.created_before
        args = (
            self._keys.record_prefix(source.tag),
            self._keys.result_prefix(source.tag),
            self._keys.dead_prefix(source.tag) if source.dead else "",
            "newest" if newest else "oldest",
            repr(place[0]),
            place[1],
            repr(end if end is not None else -math.inf if newest else math.inf),
            most,
            _MOST,
            HEAD_BYTES,
            selection.tenant or "",
            selection.model or "",
            selection.priority.value if selection.priority else "",
            *(status.value for status in selection.statuses),
        )
        command = script("scan", [source.key], *args)
        matches, stopped = await self._batcher.submit(source.tag, *command)
        records = [listed_record(each.decode(), flat, head) for each, flat, head in matches]
        return records, stopped_at(stopped)


def _place(record: Record) -> Place:
    return record.accepted_at, record.id


def _outermost(selection: Selection) -> Place:
    """Return the place before the first that the selection's instants allow."""
    if selection.newest_first and selection.created_before is not None:
        return selection.created_before, FIRST_ID
    if not selection.newest_first and selection.created_after is not None:
        return selection.created_after, LAST_ID
    return outermost(selection.newest_first)
