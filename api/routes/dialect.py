"""OpenAI's dialect: the call is held open over the same queue that every request goes through.

With `Prefer: respond-async` it is answered at once, by the request object.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from api.admission import Admission, Admitted
from api.auth import Caller
from api.exchange import Exchange, Handler, Reply, StreamReply
from api.holding import Holding
from api.intake import Intake
from api.multipart import posted
from api.origins import check_origin
from api.reading import called
from api.routes.requests import RequestRoutes
from api.settings import Settings
from api.streams.chat import ChatFraming
from api.streams.framing import Framing
from api.streams.sending import Streams
from schemas.body import read_object, with_member
from schemas.errors import RequestError
from schemas.priority import Priority, tier_of

_MULTIPART = "multipart/form-data"


class DialectRoutes:
    """The handlers of the endpoints that a backend serves, each under its own path."""

    def __init__(
        self,
        admission: Admission,
        holding: Holding,
        streams: Streams,
        requests: RequestRoutes,
        settings: Settings,
    ) -> None:
        self._admission = admission
        self._holding = holding
        self._streams = streams
        self._requests = requests
        self._settings = settings

    def calling(self, endpoint: str) -> Handler:
        """Return the handler of one endpoint that takes JSON."""

        async def handle(exchange: Exchange) -> Reply | StreamReply:
            server = self._settings.server
            raw = await exchange.json_body(server.max_body_bytes)
            return await self.answer(exchange, called(raw, endpoint, exchange, server))

        return handle

    def passing(self, endpoint: str) -> Handler:
        """Return the handler of a configured endpoint: JSON or a form, any answer."""
        with_json = self.calling(endpoint)

        async def handle(exchange: Exchange) -> Reply | StreamReply:
            kind = exchange.header("content-type") or ""
            if kind.partition(";")[0].strip().lower() != _MULTIPART:
                return await with_json(exchange)
            check_origin(exchange, self._settings)
            server = self._settings.server
            raw = await exchange.body(server.max_body_bytes)
            return await self.answer(exchange, posted(raw, kind, endpoint, exchange, server))

        return handle

    async def answer(self, exchange: Exchange, intake: Intake) -> Reply | StreamReply:
        """Return the answer of a call: when it has ended, or at once where that is preferred."""
        admitted = await self.admit(intake, exchange.caller)
        if not intake.terms.held:
            headers = {"preference-applied": "respond-async"}
            return await self._requests.accepted(admitted, headers)
        return await self.held(exchange, intake, admitted, ChatFraming())

    async def held(
        self, exchange: Exchange, intake: Intake, admitted: Admitted, framing: Framing
    ) -> Reply | StreamReply:
        """Return the answer of a held call once there is one, or its stream."""
        reply: Reply | StreamReply
        if admitted.record.stream:
            reply = await self._streams.held(exchange, admitted.record, framing)
        else:
            reply = await self._holding.until_ended(exchange, admitted.record)
        if intake.terms.names_tier and isinstance(reply, Reply):
            reply = _with_tier(reply, admitted.record.priority)
        if admitted.replayed:
            reply = replace(reply, headers={**reply.headers, "idempotent-replayed": "true"})
        return reply

    async def admit(self, intake: Intake, caller: Caller) -> Admitted:
        """Make the request durable, or find the one that it repeats. Raises RequestError."""
        if not intake.terms.held or not (intake.terms.repeated or intake.terms.key):
            return await self._admission.accept(intake, caller)
        with self._holding.joining(caller.tenant, intake.fingerprint):
            return await self._admission.accept(intake, caller)


def _with_tier(reply: Reply, used: Priority) -> Reply:
    """Return the answer with the tier that was used, unless the backend has named one itself."""
    if reply.status != 200 or not reply.content_type.startswith("application/json"):
        return reply
    tier = tier_of(used)
    try:
        answer = read_object(reply.body)
    except RequestError:
        return reply
    if "service_tier" not in answer.members:
        return replace(reply, body=with_member(reply.body, "service_tier", tier))
    if answer.members["service_tier"] is not None:
        return reply
    start, end = answer.spans["service_tier"]
    return replace(reply, body=reply.body[:start] + orjson.dumps(tier) + reply.body[end:])
