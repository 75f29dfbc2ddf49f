"""/asyncapi.json: the AMQP door in words that machines read."""

from __future__ import annotations

from functools import lru_cache

from api.asyncapi.document import build_document
from api.exchange import Exchange, Reply, json_reply
from api.settings import Settings

_build = lru_cache(maxsize=1)(build_document)


class DocumentRoutes:
    """The handlers of what describes this server; /openapi.json is FastAPI's own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def asyncapi(self, _exchange: Exchange) -> Reply:
        """Return the AsyncAPI document; on the embedded engine nobody listens at that door."""
        return json_reply(_build(self._settings.server.namespace))
