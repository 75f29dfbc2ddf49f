"""The native door: submit, read (and wait), cancel."""

from __future__ import annotations

import math
from urllib.parse import parse_qs

from api.admission import DEFAULT_TENANT, Admission
from api.exchange import Exchange, Reply, json_reply
from api.holding import Holding
from api.reading import submitted
from broker.ports import Engine
from schemas.config import ServerConfig
from schemas.errors import RequestError
from schemas.ids import is_request_id
from schemas.record import Record, born
from schemas.request import request_object

MAX_WAIT_S = 60.0
_MAX_FIELDS = 20


class RequestRoutes:
    """The handlers of /v1/requests."""

    def __init__(
        self, engine: Engine, admission: Admission, holding: Holding, server: ServerConfig
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._holding = holding
        self._server = server

    async def submit(self, exchange: Exchange) -> Reply:
        """POST /v1/requests: 202 once the request is durable."""
        raw = await exchange.json_body(self._server.max_body_bytes)
        envelope = await self._admission.accept(submitted(raw, exchange, self._server))
        headers = {"location": f"/v1/requests/{envelope.id}", "x-request-id": envelope.id}
        return json_reply(request_object(born(envelope)), 202, headers)

    async def read(self, exchange: Exchange) -> Reply:
        """GET /v1/requests/{id}?wait=: always 200 with the current object."""
        request_id = _request_id(exchange)
        wait_s = _wait_s(exchange)
        if wait_s:
            return _found(await self._holding.record(request_id, wait_s))
        return _found(await self._engine.store.get(request_id))

    async def cancel(self, exchange: Exchange) -> Reply:
        """POST /v1/requests/{id}/cancel: 200 with the object, also when it has ended before."""
        request_id = _request_id(exchange)
        record = await self._engine.store.get(request_id)
        if record is not None and record.tenant == DEFAULT_TENANT:
            record = await self._engine.store.cancel(request_id)
        return _found(record)


def _found(record: Record | None) -> Reply:
    """A foreign tenant's request answers exactly as an unknown one."""
    if record is None or record.tenant != DEFAULT_TENANT:
        raise RequestError("request_not_found")
    return json_reply(request_object(record), headers={"x-request-id": record.id})


def _request_id(exchange: Exchange) -> str:
    request_id = exchange.path_params["id"]
    if not is_request_id(request_id):
        raise RequestError("request_not_found")
    return request_id


def _wait_s(exchange: Exchange) -> float:
    """Return the wait in seconds, clamped to 0 to 60."""
    try:
        fields = parse_qs(exchange.query.decode("latin-1"), max_num_fields=_MAX_FIELDS)
        wait_s = float(fields.get("wait", ["0"])[-1])
    except ValueError:
        wait_s = math.nan
    if math.isnan(wait_s):
        raise RequestError(
            "invalid_body", "The query must be `wait` in seconds, 0 to 60.", param="wait"
        )
    return min(max(wait_s, 0.0), MAX_WAIT_S)
