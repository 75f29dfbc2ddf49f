"""OpenAI's dialect: the call is held open over the same queue that every request goes through."""

from __future__ import annotations

from api.admission import Admission
from api.exchange import Exchange, Handler, Reply
from api.holding import Holding
from api.reading import called
from schemas.config import ServerConfig

HELD_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")


def held_call(
    endpoint: str, admission: Admission, holding: Holding, server: ServerConfig
) -> Handler:
    """Return the handler of one endpoint of the dialect."""

    async def handle(exchange: Exchange) -> Reply:
        raw = await exchange.json_body(server.max_body_bytes)
        envelope = await admission.accept(called(raw, endpoint, exchange))
        return await holding.until_ended(exchange, envelope)

    return handle
