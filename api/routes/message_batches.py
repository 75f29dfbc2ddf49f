"""/v1/messages/batches in Anthropic's shape: create, list, read, cancel, delete, results."""

from __future__ import annotations

import time

from api.anthropic.creating import MessageBatches
from api.anthropic.paging import asked_page
from api.batches.creating import Creating
from api.exchange import Exchange, Reply, StreamReply, json_reply
from api.files.ranges import Span
from api.files.storing import Storing
from api.files.telling import told
from api.routes.batches import is_shown
from broker.ports import Engine
from schemas.batches import Batch
from schemas.errors import BlobMissing, RequestError
from schemas.files import Part
from schemas.ids import batch_id_of, message_batch_id
from schemas.message_batches import message_batch

_GONE = "The results of this batch are gone."


class MessageBatchRoutes:
    """The handlers of /v1/messages/batches; each tenant sees its own."""

    def __init__(
        self, engine: Engine, creating: Creating, batches: MessageBatches, storing: Storing
    ) -> None:
        self._engine = engine
        self._creating = creating
        self._batches = batches
        self._storing = storing

    async def create(self, exchange: Exchange) -> Reply:
        """POST /v1/messages/batches: 200 once it is durable."""
        self._creating.check_open()
        batch, replayed = await self._batches.take(exchange)
        headers = {"idempotent-replayed": "true"} if replayed else {}
        return json_reply(message_batch(batch, exchange.origin), headers=headers)

    async def list_batches(self, exchange: Exchange) -> Reply:
        """GET /v1/messages/batches: newest first, after one or before one."""
        page = asked_page(exchange)
        found = await self._engine.batches.select(
            exchange.caller.tenant,
            page.beyond,
            page.limit + 1,
            "anthropic",
            newest_first=page.newest_first,
        )
        return page.reply(found, exchange.origin)

    async def read(self, exchange: Exchange) -> Reply:
        """GET /v1/messages/batches/{id}."""
        return json_reply(message_batch(await self._own(exchange), exchange.origin))

    async def cancel(self, exchange: Exchange) -> Reply:
        """POST /v1/messages/batches/{id}/cancel: the batch as it is then, also an ended one."""
        batch = await self._own(exchange)
        cancelled = await self._engine.batches.cancel(batch.id, time.time())
        if cancelled is None:
            raise RequestError("batch_not_found")
        return json_reply(message_batch(cancelled, exchange.origin))

    async def delete(self, exchange: Exchange) -> Reply:
        """DELETE /v1/messages/batches/{id}: one that has ended, with its requests and results."""
        batch = await self._own(exchange)
        if not batch.terminal:
            raise RequestError("batch_not_ended")
        await self._engine.batches.remove(batch.id)
        files = (batch.terms.input_file_id, batch.output_file_id, batch.error_file_id)
        for file_id in files:
            if file_id is not None:
                await self._storing.drop(file_id)
        return json_reply({"id": message_batch_id(batch.id), "type": "message_batch_deleted"})

    async def results(self, exchange: Exchange) -> StreamReply:
        """GET /v1/messages/batches/{id}/results: a line for each request, once it has ended."""
        batch = await self._own(exchange)
        if not batch.terminal:
            raise RequestError("results_not_ready")
        parts: list[Part] = []
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                found = await self._engine.files.parts(file_id)
                if not found:
                    raise RequestError("file_not_found", _GONE)
                parts += found
        size = sum(part.bytes for part in parts)
        try:
            blocks = await told(self._engine.blobs, parts, Span(0, size))
        except BlobMissing:
            raise RequestError("file_not_found", _GONE) from None
        headers = {"content-length": str(size)}
        return StreamReply(200, blocks, blocks.aclose, headers, "application/x-jsonl")

    async def _own(self, exchange: Exchange) -> Batch:
        """Return the batch in the path; one of another tenant or dialect is as unknown as any."""
        batch_id = batch_id_of(exchange.path_params["id"])
        batch = await self._engine.batches.get(batch_id) if batch_id is not None else None
        if batch is None or not is_shown(batch, exchange.caller, "anthropic"):
            raise RequestError("batch_not_found")
        return batch
