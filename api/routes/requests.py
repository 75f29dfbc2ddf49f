"""The native door: submit, list, read (and wait), cancel, the backend's own answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import query
from api.admission import Admission, Admitted
from api.backlog import Backlog
from api.exchange import Exchange, Reply, StreamReply, json_reply
from api.holding import Holding
from api.reading import submitted
from api.settings import Settings
from api.streams.native import NativeFraming
from api.streams.sending import Streams
from broker import large_bodies
from broker.ports import Engine
from schemas.errors import RequestError
from schemas.record import Record
from schemas.request import request_object, whole_request

MAX_WAIT_S = 60.0


class RequestRoutes:
    """The handlers of /v1/requests."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        holding: Holding,
        streams: Streams,
        backlog: Backlog,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._holding = holding
        self._streams = streams
        self._backlog = backlog
        self._settings = settings

    async def submit(self, exchange: Exchange) -> Reply:
        """POST /v1/requests: 202 once the request is durable."""
        raw = await exchange.json_body(self._settings.server.max_body_bytes)
        intake = submitted(raw, exchange, self._settings)
        return await self.accepted(await self._admission.accept(intake, exchange.caller))

    async def accepted(self, admitted: Admitted, headers: Mapping[str, str] = {}) -> Reply:
        """Return the 202 of an admitted request."""
        record = admitted.record
        told = {"location": f"/v1/requests/{record.id}", "x-request-id": record.id, **headers}
        if admitted.replayed:
            told["idempotent-replayed"] = "true"
        return json_reply(await self._object(record), 202, told)

    async def list_requests(self, exchange: Exchange) -> Reply:
        """GET /v1/requests: the caller's own, newest first unless asked otherwise."""
        page = query.page(exchange, query.REQUEST_FILTERS)
        found = await self._engine.store.select(
            page.selection(exchange.caller.tenant), page.after, page.limit + 1
        )
        return page.reply(found, [request_object(record) for record in found or ()])

    async def read(self, exchange: Exchange) -> Reply:
        """GET /v1/requests/{id}?wait=: always 200 with the current object."""
        request_id = exchange.request_id
        wait_s = query.seconds(exchange, "wait", most=MAX_WAIT_S)
        if wait_s:
            found = await self._holding.record(request_id, wait_s, exchange.caller.tenant)
        else:
            found = await self._engine.store.get(request_id)
        return await self._found(_own(found, exchange))

    async def events(self, exchange: Exchange) -> StreamReply:
        """GET /v1/requests/{id}/events: its states and its chunks, as they come or afterwards."""
        after = query.after_event(exchange)
        record = _own(await self._engine.store.get(exchange.request_id), exchange)
        return await self._streams.reading(record, NativeFraming(), after)

    async def response(self, exchange: Exchange) -> Reply:
        """GET /v1/requests/{id}/response: the backend's bytes, type and status."""
        record = _own(await self._engine.store.get(exchange.request_id), exchange)
        if not record.terminal:
            raise RequestError("not_finished", f"The request is {record.status.value}.")
        return await self._holding.answer(record)

    async def cancel(self, exchange: Exchange) -> Reply:
        """POST /v1/requests/{id}/cancel: 200 with the object, also when it has ended before."""
        record = _own(await self._engine.store.get(exchange.request_id), exchange)
        return await self._found(_own(await self._engine.store.cancel(record.id), exchange))

    async def _found(self, record: Record) -> Reply:
        return json_reply(await self._object(record), headers={"x-request-id": record.id})

    async def _object(self, record: Record) -> dict[str, Any]:
        record = await large_bodies.inlined(self._engine, record)
        expected = await self._backlog.outlook(record)
        return whole_request(record, expected.position, expected.eta_s, expected.waiting_for)


def _own(record: Record | None, exchange: Exchange) -> Record:
    """A foreign tenant's request answers exactly as an unknown one."""
    if record is None or record.tenant != exchange.caller.tenant:
        raise RequestError("request_not_found")
    return record
