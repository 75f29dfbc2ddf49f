"""/v1/files in OpenAI's shape: upload, list, read, the bytes themselves, delete."""

from __future__ import annotations

import asyncio
from typing import Any

from api import query
from api.admission import Admission
from api.exchange import Exchange, Reply, StreamReply, error_reply, json_reply
from api.files.naming import disposition
from api.files.owned import own_file
from api.files.ranges import Span, Unsatisfiable, asked_span
from api.files.storing import Storing
from api.files.telling import told
from api.files.uploading import Uploads
from broker.ports import Engine, FileSelection
from schemas.batch_wire import file_object
from schemas.batches import Batch
from schemas.errors import BlobMissing, RequestError
from schemas.files import StoredFile, batch_in
from schemas.ids import is_file_id

_MAX_PAGE = 10_000
# Between so many objects of a long page others have their turn.
_AT_ONCE = 500


class FileRoutes:
    """The handlers of /v1/files; each tenant sees its own."""

    def __init__(
        self, engine: Engine, admission: Admission, uploads: Uploads, storing: Storing
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._uploads = uploads
        self._storing = storing

    async def create(self, exchange: Exchange) -> Reply:
        """POST /v1/files: 200 once the file is stored."""
        if self._admission.draining:
            raise RequestError("draining")
        file, replayed = await self._uploads.take(exchange)
        headers = {"idempotent-replayed": "true"} if replayed else {}
        return json_reply(file_object(file), headers=headers)

    async def list_files(self, exchange: Exchange) -> Reply:
        """GET /v1/files: newest first unless asked otherwise."""
        page = query.page(exchange, ("purpose",), is_file_id, most=_MAX_PAGE, usual=_MAX_PAGE)
        selection = FileSelection(
            exchange.caller.tenant, page.asked.get("purpose"), newest_first=page.newest_first
        )
        found = await self._engine.files.select(selection, page.after, page.limit + 1)
        data: list[dict[str, Any]] = []
        for start in range(0, len(found or ()), _AT_ONCE):
            data += map(file_object, (found or [])[start : start + _AT_ONCE])
            await asyncio.sleep(0)
        return page.reply(found, data)

    async def read(self, exchange: Exchange) -> Reply:
        """GET /v1/files/{id}."""
        return json_reply(file_object(await self._own(exchange)))

    async def content(self, exchange: Exchange) -> Reply | StreamReply:
        """GET /v1/files/{id}/content: the bytes, or one range of them."""
        file = await self._own(exchange)
        parts = await self._engine.files.parts(file.id)
        size = sum(part.bytes for part in parts)
        headers = {
            "accept-ranges": "bytes",
            "content-disposition": disposition(file.filename),
            "etag": f'"{file.id}-{size}"',
            "x-content-type-options": "nosniff",
        }
        if await self._grows(file):
            headers["x-incomplete"] = "true"
        try:
            span = asked_span(_range(exchange, headers["etag"]), size)
        except Unsatisfiable:
            refusal = RequestError("range_not_satisfiable")
            return error_reply(refusal, {"content-range": f"bytes */{size}"})
        status = 200
        if span is not None:
            status, headers["content-range"] = 206, span.told(size)
        span = span or Span(0, size)
        headers["content-length"] = str(span.end - span.start)
        try:
            blocks = await told(self._engine.blobs, parts, span)
        except BlobMissing:
            raise RequestError("file_not_found", "The bytes of this file are gone.") from None
        return StreamReply(status, blocks, blocks.aclose, headers, "application/octet-stream")

    async def delete(self, exchange: Exchange) -> Reply:
        """DELETE /v1/files/{id}: at once, unless a batch that has not ended uses it."""
        file = await self._own(exchange)
        for batch in await self._engine.batches.running(file.tenant):
            if file.id in (batch.terms.input_file_id, batch.output_file_id, batch.error_file_id):
                raise RequestError("file_in_use", f"The batch {batch.id} uses this file.")
        await self._storing.drop(file.id)
        return json_reply({"id": file.id, "object": "file", "deleted": True})

    async def _own(self, exchange: Exchange) -> StoredFile:
        file_id, tenant = exchange.path_params["id"], exchange.caller.tenant
        return await own_file(self._engine.files, file_id, tenant)

    async def _grows(self, file: StoredFile) -> bool:
        """Tell whether it is the file of a batch that still runs."""
        batch_id = batch_in(file)
        if batch_id is None:
            return False
        batch: Batch | None = await self._engine.batches.get(batch_id)
        return batch is not None and not batch.terminal


def _range(exchange: Exchange, etag: str) -> str | None:
    """Return the Range header, unless it is for another state of the file."""
    condition = exchange.header("if-range")
    return exchange.header("range") if condition in (None, etag) else None
