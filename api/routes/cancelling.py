"""POST /v1/requests/cancel: all open requests that fit a filter, some of them in each call."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from api.exchange import Exchange, Reply, json_reply
from api.settings import Settings
from broker.ports import Engine, Selection
from schemas.cancellation import CancelAnyRequests, CancelRequests
from schemas.errors import RequestError
from schemas.ids import is_request_id
from schemas.lifecycle import Status
from schemas.priority import Priority

_BATCH = 200
_MOST = 1_000
_LONGEST_S = 5.0
_OPEN = frozenset({Status.QUEUED, Status.IN_PROGRESS})

C = TypeVar("C", bound=CancelRequests)


class CancelRoutes:
    """The handlers of the bulk cancel; one call cancels at most 1,000 and takes some seconds."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    async def own(self, exchange: Exchange) -> Reply:
        """POST /v1/requests/cancel: of the caller's own."""
        asked = await self._asked(exchange, CancelRequests)
        return await self._cancel(asked, exchange.caller.tenant)

    async def of_any_tenant(self, exchange: Exchange) -> Reply:
        """POST /admin/v1/requests/cancel: of the tenant that is named, or of all."""
        asked = await self._asked(exchange, CancelAnyRequests)
        return await self._cancel(asked, asked.tenant)

    async def _asked(self, exchange: Exchange, kind: type[C]) -> C:
        asked = await exchange.asked(kind, self._settings.server.max_body_bytes)
        asked.check_any()
        return asked

    async def _cancel(self, asked: CancelRequests, tenant: str | None) -> Reply:
        """Cancel the newest first: what comes meanwhile is not meant."""
        selection, after = _selection(asked, tenant), asked.after
        if after is not None and not is_request_id(after):
            raise RequestError("invalid_body", "`after` must be a request's id.", param="after")
        cancelled, ends_at = 0, time.monotonic() + _LONGEST_S
        while True:
            found = await self._engine.store.select(selection, after, _BATCH + 1)
            if found is None:
                raise RequestError("invalid_body", "`after` names no request of yours.", "after")
            batch = [record.id for record in found[:_BATCH]]
            ends = await asyncio.gather(*map(self._engine.store.cancel, batch))
            cancelled += sum(end is not None and end.status is Status.CANCELLED for end in ends)
            after = batch[-1] if batch else after
            has_more = len(found) > _BATCH
            if not has_more or cancelled >= _MOST or time.monotonic() > ends_at:
                break
        told = {"cancelled": cancelled, "last_id": after, "has_more": has_more}
        return json_reply({"object": "requests.cancelled", **told})


def _selection(asked: CancelRequests, tenant: str | None) -> Selection:
    return Selection(
        tenant=tenant,
        statuses=_OPEN if asked.status is None else frozenset({Status(asked.status)}),
        model=asked.model,
        priority=None if asked.priority is None else Priority(asked.priority),
        created_after=asked.created_after,
        created_before=asked.created_before,
    )
