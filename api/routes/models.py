"""GET /v1/models: OpenAI's list, with what waits and runs here beside each model."""

from __future__ import annotations

import asyncio
from typing import Any

from api.catalog import Catalog
from api.exchange import Exchange, Reply, json_reply
from broker.ports import Engine
from schemas.errors import RequestError
from schemas.ids import slug
from schemas.priority import PRIORITIES


class ModelRoutes:
    """The handlers of /v1/models."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog

    async def list_models(self, _exchange: Exchange) -> Reply:
        """Return every model."""
        await self._catalog.refresh()
        data = await asyncio.gather(*(self._model(name) for name in self._catalog.names))
        return json_reply({"object": "list", "data": data})

    async def read_model(self, exchange: Exchange) -> Reply:
        """Return one model; its name may hold slashes."""
        name = exchange.path_params["name"]
        await self._catalog.refresh()
        if name not in self._catalog.names:
            raise RequestError("model_not_found", param="model")
        return json_reply(await self._model(name))

    async def _model(self, name: str) -> dict[str, Any]:
        served = self._catalog.served(name)
        depths = await asyncio.gather(
            *(self._engine.queue.depth(name, priority) for priority in PRIORITIES)
        )
        return {
            "id": name,
            "object": "model",
            "created": self._catalog.started_at,
            "owned_by": "penstock",
            "penstock": {
                "slug": slug(name),
                "priorities": {p.value: n for p, n in zip(PRIORITIES, depths, strict=True)},
                "waiting": sum(depths) + served.unstarted,
                "running": served.running,
                "slots": served.slots,
            },
        }
