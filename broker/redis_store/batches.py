"""The Batches port: a batch, its lines and its files lie in one partition (PROTOCOL 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from broker.ports.batches import HOLD_S, EndedLine, Gathered, Held, Validated
from broker.redis_store.batch_fields import at_first, batch_of, errors_field, validated_fields
from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.lines import Lines
from broker.redis_store.paging import Place, Stream, merged, outermost, share, stopped_at
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits
from schemas.batches import BATCH_TRANSITIONS, Batch, BatchStatus, Cursor, Dialect, LineError
from schemas.envelope import Envelope
from schemas.ids import is_batch_id

_HOLD_MS = round(HOLD_S * 1000)
_MOST = 500  # entries that one script looks at


class RedisBatches:
    """The batches in Redis; holds are this process's, by its owner."""

    def __init__(
        self, batcher: Batcher, keys: Keys, owner: str, kept_s: float, waits: Waits
    ) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._kept_ms = round(kept_s * 1000)
        self._waits = waits
        self._lines = Lines(batcher, keys)

    async def create(self, batch: Batch) -> bool:
        terms = batch.terms
        first = (repr(terms.created_at), terms.tenant, self._keys.wake_all)
        return bool(await self._lines.run("batch_create", batch.id, *first, *at_first(batch)))

    async def get(self, batch_id: str) -> Batch | None:
        if not is_batch_id(batch_id):
            return None
        tag = self._keys.tag(batch_id)
        return _batch(await self._batcher.submit(tag, "HGETALL", self._keys.batch(tag, batch_id)))

    async def select(
        self,
        tenant: str,
        after: str | None,
        limit: int,
        dialect: Dialect = "openai",
        *,
        newest_first: bool = True,
    ) -> list[Batch] | None:
        start = outermost(newest_first)
        if after is not None:
            known = await self.get(after)
            if known is None or (known.terms.tenant, known.terms.dialect) != (tenant, dialect):
                return None
            start = _place(known)
        tags = self._keys.partitions
        order = "newest" if newest_first else "oldest"
        filters = (order, share(limit, len(tags)), _MOST, "dialect", dialect)
        streams = [Stream(partial(self._page, tag, tenant, filters), start) for tag in tags]
        return await merged(streams, _place, limit, newest_first=newest_first)

    async def running(self, tenant: str) -> list[Batch]:
        asked = [
            self._batcher.submit(tag, *script("batch_running", self._keys.of_lines(tag), tenant))
            for tag in self._keys.partitions
        ]
        found = [batch_of(flat) for part in await asyncio.gather(*asked) for flat in part]
        return sorted(found, key=_place)

    async def cancel(self, batch_id: str, at: float) -> Batch | None:
        leading = _leading_to(BatchStatus.CANCELLING)
        answer = self._lines.run("batch_cancel", batch_id, repr(at), self._keys.wake_all, *leading)
        return _batch(await answer)

    async def pause(self, batch_id: str, *, paused: bool) -> Batch | None:
        said = "1" if paused else ""
        return _batch(await self._lines.run("batch_pause", batch_id, said, self._keys.wake_all))

    async def remove(self, batch_id: str) -> bool:
        return bool(await self._lines.run("batch_remove", batch_id))

    async def unfinished(self) -> list[str]:
        asked = [
            self._batcher.submit(tag, "ZRANGE", self._keys.batches(tag), 0, -1, "WITHSCORES")
            for tag in self._keys.partitions
        ]
        found: list[Place] = []
        for part in await asyncio.gather(*asked):
            values = iter(part)
            found += [(float(at), each.decode()) for each, at in zip(values, values, strict=True)]
        return [batch_id for _, batch_id in sorted(found)]

    async def hold(self, batch_id: str) -> Held | None:
        answer = await self._lines.run("batch_hold", batch_id, self._owner, _HOLD_MS)
        return None if answer is None else Held(batch_of(answer[1]), int(answer[0]))

    async def let_go(self, batch_id: str, token: int) -> None:
        await self._lines.run("batch_let_go", batch_id, token)

    async def validated(self, batch_id: str, token: int, found: Validated, at: float) -> bool:
        fields = validated_fields(found.total, found.model)
        leading = (BatchStatus.VALIDATING,)
        return await self._enter(batch_id, token, BatchStatus.IN_PROGRESS, at, leading, fields)

    async def move(
        self,
        batch_id: str,
        token: int,
        status: BatchStatus,
        at: float,
        errors: Sequence[LineError] = (),
        ended: int | None = None,
    ) -> bool:
        leading, fields = _leading_to(status), errors_field(errors)
        return await self._enter(batch_id, token, status, at, leading, fields, ended=ended)

    async def feed(
        self, batch_id: str, token: int, lines: Sequence[Envelope]
    ) -> Sequence[bool] | None:
        return await self._lines.feed(batch_id, token, lines)

    async def fed(self, batch_id: str, token: int, cursor: Cursor) -> bool:
        return await self._lines.fed(batch_id, token, cursor)

    async def ends(
        self, batch_id: str, limit: int, max_bytes: int, skip: int = 0
    ) -> Sequence[EndedLine]:
        return await self._lines.ends(batch_id, limit, max_bytes, skip)

    async def gathered(self, batch_id: str, token: int, step: Gathered) -> bool:
        return await self._lines.gathered(batch_id, token, step)

    async def unended(self, batch_id: str) -> Sequence[int]:
        return await self._lines.unended(batch_id)

    async def lost(self, batch_id: str) -> Sequence[int]:
        return await self._lines.lost(batch_id)

    async def failed_lines(self, batch_id: str) -> bytes:
        return await self._lines.failed(batch_id)

    async def told(self, batch_id: str, token: int) -> None:
        await self._lines.run("batch_told", batch_id, token)

    def on_changed(self, tell: Callable[[], None]) -> None:
        self._waits.on_batches(tell)

    async def _enter(
        self,
        batch_id: str,
        token: int,
        status: BatchStatus,
        at: float,
        leading: Sequence[BatchStatus],
        fields: Sequence[Any],
        *,
        ended: int | None = None,
    ) -> bool:
        first = (token, status.value, repr(at), self._kept_ms, "" if ended is None else ended)
        args = (*first, len(leading), *leading, *fields)
        return bool(await self._lines.run("batch_move", batch_id, *args))

    async def _page(
        self, tag: str, tenant: str, filters: Sequence[Any], place: Place
    ) -> tuple[list[Batch], Place | None]:
        keys, prefix = [self._keys.batches_of(tag, tenant)], self._keys.batch(tag, "")
        args = (prefix, repr(place[0]), place[1], *filters)
        found, stopped = await self._batcher.submit(tag, *script("page", keys, *args))
        return [batch_of(flat) for _, flat in found], stopped_at(stopped)


def _leading_to(status: BatchStatus) -> list[BatchStatus]:
    return [before for before, following in BATCH_TRANSITIONS.items() if status in following]


def _batch(flat: list[bytes]) -> Batch | None:
    return batch_of(flat) if flat else None


def _place(batch: Batch) -> Place:
    return batch.terms.created_at, batch.id
