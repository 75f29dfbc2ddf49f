"""/admin/v1/dead-letters: what ended with its envelope kept, to look at, redrive or purge."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson

from api import query
from api.admission import Admission
from api.exchange import Exchange, Reply, json_reply
from broker import large_bodies
from broker.ports import Engine
from schemas.envelope import Envelope
from schemas.errors import BlobMissing, RequestError
from schemas.record import Record
from schemas.request import history_of, request_object

_FOREIGN_SHOWN = 1_000
# It may well be a request that ended otherwise, or a dead letter that was purged.
_UNKNOWN = "No dead letter has this id."


class DeadLetterRoutes:
    """The handlers of dead letters, of every tenant."""

    def __init__(self, engine: Engine, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission

    async def list_letters(self, exchange: Exchange) -> Reply:
        """GET /admin/v1/dead-letters."""
        page = query.page(exchange, query.LETTER_FILTERS)
        found = await self._engine.dead_letters.select(
            page.selection(None), page.after, page.limit + 1
        )
        return page.reply(found, [_letter(record) for record in found or ()])

    async def read(self, exchange: Exchange) -> Reply:
        """GET /admin/v1/dead-letters/{id}: with the body as sent, null if it is lost."""
        request_id = exchange.request_id
        record = await self._engine.dead_letters.get(request_id)
        envelope = await self._envelope(request_id)
        if record is None:
            raise RequestError("request_not_found", _UNKNOWN)
        record, request = await large_bodies.inlined(self._engine, record), None
        with contextlib.suppress(BlobMissing):
            request = _readable((await large_bodies.with_body(self._engine, envelope)).body)
        return json_reply({**_letter(record), "history": history_of(record), "request": request})

    async def redrive(self, exchange: Exchange) -> Reply:
        """POST /admin/v1/dead-letters/{id}/redrive: 202 with the new request."""
        request_id = exchange.request_id
        admitted = await self._admission.redrive(await self._envelope(request_id))
        await self._engine.dead_letters.redriven(request_id, admitted.record.id)
        headers = {"idempotent-replayed": "true"} if admitted.replayed else {}
        return json_reply(_letter(admitted.record), 202, headers)

    async def purge(self, exchange: Exchange) -> Reply:
        """DELETE /admin/v1/dead-letters/{id}: its request stays as it was told."""
        request_id = exchange.request_id
        if not await self._engine.dead_letters.purge(request_id):
            raise RequestError("request_not_found", _UNKNOWN)
        return json_reply({"id": request_id, "object": "dead_letter", "deleted": True})

    async def list_foreign(self, _exchange: Exchange) -> Reply:
        """GET /admin/v1/dead-letters/foreign: messages that are not Penstock's, newest first."""
        found = await self._engine.dead_letters.foreign(_FOREIGN_SHOWN)
        data = [
            {"reason": each.reason, "filed_at": each.filed_at, "body": _readable(each.body)}
            for each in found
        ]
        return json_reply({"object": "list", "data": data})

    async def purge_foreign(self, _exchange: Exchange) -> Reply:
        """DELETE /admin/v1/dead-letters/foreign."""
        return json_reply({"deleted": await self._engine.dead_letters.purge_foreign()})

    async def _envelope(self, request_id: str) -> Envelope:
        envelope = await self._engine.dead_letters.envelope(request_id)
        if envelope is None:
            raise RequestError("request_not_found", _UNKNOWN)
        return envelope


def _letter(record: Record) -> dict[str, Any]:
    return {
        **request_object(record),
        "redrive_of": record.redrive_of,
        "redriven_as": record.redriven_as,
    }


def _readable(body: bytes) -> Any:
    """Return JSON as a fragment that keeps its bytes, anything else as text."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return orjson.Fragment(body)
