"""/v1/batches in OpenAI's shape: create, list, read, follow, cancel, pause, retry."""

from __future__ import annotations

import time

from api import query
from api.auth import Caller
from api.batches.creating import Creating
from api.batches.retrying import Retrying
from api.batches.watching import Watching
from api.exchange import EVENT_HEADERS, Exchange, Handler, Reply, StreamReply, json_reply
from api.preferences import idempotency_key
from api.settings import Settings
from broker.ports import Engine
from schemas.batch_wire import CreateBatch, batch_object
from schemas.batches import Batch, Dialect
from schemas.errors import RequestError
from schemas.ids import is_batch_id


class BatchRoutes:
    """The handlers of /v1/batches; each tenant sees its own."""

    def __init__(
        self,
        engine: Engine,
        creating: Creating,
        retrying: Retrying,
        watching: Watching,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._creating = creating
        self._retrying = retrying
        self._watching = watching
        self._settings = settings

    async def create(self, exchange: Exchange) -> Reply:
        """POST /v1/batches: 200 once the batch is durable; its file is not yet looked into."""
        self._creating.check_open()
        asked = await exchange.asked(CreateBatch, self._settings.server.max_body_bytes)
        batch_id = self._creating.new_id(exchange.caller.tenant, idempotency_key(exchange))
        terms = await self._creating.terms_of(asked, exchange.caller, batch_id)
        return created(*await self._creating.create(terms))

    async def list_batches(self, exchange: Exchange) -> Reply:
        """GET /v1/batches: newest first."""
        page = query.page(exchange, (), is_batch_id, ("limit", "after"))
        found = await self._engine.batches.select(
            exchange.caller.tenant, page.after, page.limit + 1
        )
        return page.reply(found, [batch_object(batch) for batch in found or ()])

    async def read(self, exchange: Exchange) -> Reply:
        """GET /v1/batches/{id}."""
        return json_reply(batch_object(await self._own(exchange)))

    async def events(self, exchange: Exchange) -> StreamReply:
        """GET /v1/batches/{id}/events: the batch whenever it has changed, until its end."""
        blocks = self._watching.telling(await self._own(exchange))
        return StreamReply(200, blocks, blocks.aclose, EVENT_HEADERS)

    async def cancel(self, exchange: Exchange) -> Reply:
        """POST /v1/batches/{id}/cancel: 200 with the object, also when it has ended before."""
        batch = await self._own(exchange)
        return _known(await self._engine.batches.cancel(batch.id, time.time()))

    async def retry_failed(self, exchange: Exchange) -> Reply:
        """POST /v1/batches/{id}/retry-failed: a new batch of the lines in the error file."""
        self._creating.check_open()
        batch = await self._own(exchange)
        return created(*await self._retrying.again(batch, idempotency_key(exchange)))

    def pausing(self, *, paused: bool) -> Handler:
        """Return the handler of POST /v1/batches/{id}/pause, or of /resume."""

        async def handle(exchange: Exchange) -> Reply:
            batch = await self._own(exchange)
            return _known(await self._engine.batches.pause(batch.id, paused=paused))

        return handle

    async def _own(self, exchange: Exchange) -> Batch:
        """Return the batch in the path; one of another tenant or dialect is as unknown as any."""
        batch_id = exchange.path_params["id"]
        batch = await self._engine.batches.get(batch_id) if is_batch_id(batch_id) else None
        if batch is None or not is_shown(batch, exchange.caller, "openai"):
            raise RequestError("batch_not_found")
        return batch


def is_shown(batch: Batch, caller: Caller, dialect: Dialect) -> bool:
    """Tell whether a batch is the caller's, and told by the routes of this dialect."""
    return (batch.terms.tenant, batch.terms.dialect) == (caller.tenant, dialect)


def created(batch: Batch, replayed: bool) -> Reply:
    """Return the answer to the creation of a batch; `replayed` if it was there before."""
    headers = {"idempotent-replayed": "true"} if replayed else {}
    return json_reply(batch_object(batch), headers=headers)


def _known(batch: Batch | None) -> Reply:
    if batch is None:
        raise RequestError("batch_not_found")
    return json_reply(batch_object(batch))
