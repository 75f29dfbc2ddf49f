"""OpenAI's Responses: created, read, cancelled and deleted, over the requests that they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from api import query
from api.admission import Admitted
from api.exchange import Exchange, Reply, StreamReply, json_reply
from api.holding import is_lost
from api.intake import Intake
from api.reading import called
from api.responses.framing import ResponseFraming
from api.responses.items import listed
from api.responses.stored import members_of, response_now
from api.routes.dialect import DialectRoutes
from api.settings import Settings
from api.streams.sending import Streams
from broker import large_bodies
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.errors import EngineError, RequestError
from schemas.ids import response_id
from schemas.record import Record
from schemas.responses.told import ENDPOINT

_log = structlog.get_logger("penstock.responses")
# Whoever waits for the same request beside us has read its end by then.
_FORGOTTEN_AFTER_S = 2.0
_MAX_DIGITS = 15
_NOT_STREAMED = "This Response was not created with `stream: true`; read it without."


class ResponseRoutes:
    """The handlers of /v1/responses."""

    def __init__(
        self, engine: Engine, dialect: DialectRoutes, streams: Streams, settings: Settings
    ) -> None:
        self._engine = engine
        self._dialect = dialect
        self._streams = streams
        self._settings = settings
        self._tasks = Tasks("responses")
        self._stopping = asyncio.Event()

    async def create(self, exchange: Exchange) -> Reply | StreamReply:
        """POST /v1/responses: the Response when it has ended; with `background` at once.

        With `stream` its events, also those of one in the background.
        """
        server = self._settings.server
        raw = await exchange.json_body(server.max_body_bytes)
        intake = called(raw, ENDPOINT, exchange, server)
        if not intake.terms.held and not intake.terms.background:
            return await self._dialect.answer(exchange, intake)
        admitted = await self._dialect.admit(intake, exchange.caller)
        record, asked = admitted.record, dict[str, Any]()
        if intake.stream or intake.terms.background:
            asked = members_of(await large_bodies.asked_of(self._engine, record.id))
        framing = ResponseFraming(asked)
        if intake.terms.forgotten:
            return await self._unstored(exchange, intake, admitted, framing)
        if intake.terms.held:
            return await self._dialect.held(exchange, intake, admitted, framing)
        if intake.stream:
            return await self._streams.reading(record, framing)
        reply = await self._reply(record, asked)
        if admitted.replayed:
            reply = replace(reply, headers={**reply.headers, "idempotent-replayed": "true"})
        return reply

    async def read(self, exchange: Exchange) -> Reply | StreamReply:
        """GET /v1/responses/{id}: the Response as it is now.

        With `stream=true` its events, those behind `starting_after` if that is given.
        """
        record, asked = await self._own(exchange)
        wanted = query.fields(exchange)
        streams = wanted.get("stream", "false")
        if streams not in ("true", "false"):
            raise RequestError("invalid_body", "`stream` must be true or false.", param="stream")
        after = _sequence_number(wanted.get("starting_after"))
        if streams == "false":
            return await self._reply(record, asked)
        if not record.stream:
            raise RequestError("streaming_unsupported", _NOT_STREAMED, param="stream")
        framing = ResponseFraming(asked, after)
        return await self._streams.reading(record, framing, framing.after)

    async def cancel(self, exchange: Exchange) -> Reply:
        """POST /v1/responses/{id}/cancel: the Response, also when it has ended before."""
        record, asked = await self._own(exchange)
        if asked.get("background") is not True:
            raise RequestError("not_background")
        after = await self._engine.store.cancel(record.id) or record
        return await self._reply(after, asked)

    async def delete(self, exchange: Exchange) -> Reply:
        """DELETE /v1/responses/{id}: what has not ended is cancelled first."""
        record, _ = await self._own(exchange)
        if not record.terminal:
            await self._engine.store.cancel(record.id)
        await large_bodies.forget(self._engine, record.id)
        told = {"id": response_id(record.id), "object": "response", "deleted": True}
        return json_reply(told, headers={"x-request-id": record.id})

    async def input_items(self, exchange: Exchange) -> Reply:
        """GET /v1/responses/{id}/input_items: the conversation that it was asked, newest first."""
        record, asked = await self._own(exchange)
        return query.items_page(exchange, listed(record.id, asked))

    async def stop(self) -> None:
        """Forget now what is to be forgotten."""
        self._stopping.set()
        await self._tasks.join()

    async def _unstored(
        self, exchange: Exchange, intake: Intake, admitted: Admitted, framing: ResponseFraming
    ) -> Reply | StreamReply:
        """Return the answer of a call that nothing is to be kept of."""
        reply: Reply | StreamReply | None = None
        try:
            reply = await self._dialect.held(exchange, intake, admitted, framing)
        finally:
            if not isinstance(reply, StreamReply):
                self._forget_later(admitted.record.id)
        return self._closing(reply, admitted.record.id) if isinstance(reply, StreamReply) else reply

    def _closing(self, reply: StreamReply, request_id: str) -> StreamReply:
        """Return the stream, after which nothing of its request is kept."""

        async def close() -> None:
            await reply.close()
            self._forget_later(request_id)

        return replace(reply, close=close)

    async def _own(self, exchange: Exchange) -> tuple[Record, dict[str, Any]]:
        """Return a Response of the caller's and the members of its body.

        Raises RequestError for another's, for a request that is no Response, and for one that was
        not to be stored.
        """
        record = await self._engine.store.get(exchange.request_id)
        if record is None or record.tenant != exchange.caller.tenant or record.endpoint != ENDPOINT:
            raise RequestError("request_not_found")
        asked = members_of(await large_bodies.asked_of(self._engine, record.id))
        if asked.get("store") is False:
            raise RequestError("request_not_found")
        return record, asked

    async def _reply(self, record: Record, asked: Mapping[str, Any]) -> Reply:
        record = await large_bodies.whole(self._engine, record)
        if is_lost(record):
            raise RequestError("result_lost")
        return json_reply(response_now(record, asked), headers={"x-request-id": record.id})

    def _forget_later(self, request_id: str) -> None:
        self._tasks.spawn("forget", self._forget(request_id))

    async def _forget(self, request_id: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FORGOTTEN_AFTER_S):
                await self._stopping.wait()
        try:
            await large_bodies.forget(self._engine, request_id)
        except EngineError as error:
            _log.warning("kept until its retention ends", request=request_id, error=str(error))


def _sequence_number(text: str | None) -> int:
    """Return `starting_after`, -1 where it is not given. Raises RequestError."""
    if text is None:
        return -1
    if not text.isascii() or not text.isdigit():
        raise RequestError("invalid_body", "`starting_after` must be a number.", "starting_after")
    return int(text[:_MAX_DIGITS])
