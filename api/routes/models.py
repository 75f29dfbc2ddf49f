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
    """The handlers of /v1/models: what the caller's key opens."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog

    async def list_models(self, exchange: Exchange) -> Reply:
        """Return every model, and every further name of one."""
        await self._catalog.refresh()
        stands_for = {name: name for name in self._catalog.names} | self._catalog.aliases
        opened = {
            asked: name for asked, name in stands_for.items() if exchange.caller.opens(asked, name)
        }
        states = dict(
            zip(
                opened.values(),
                await asyncio.gather(*(self.load(name) for name in opened.values())),
                strict=True,
            )
        )
        data = [self._item(asked, states[name]) for asked, name in opened.items()]
        return json_reply({"object": "list", "data": data})

    async def read_model(self, exchange: Exchange) -> Reply:
        """Return one model; its name may hold slashes."""
        asked = exchange.path_params["name"]
        await self._catalog.refresh()
        try:
            name = self._catalog.find(asked, exchange.caller)
        except RequestError:
            # One that the key does not open answers as one that there is not.
            raise RequestError("model_not_found", param="model") from None
        return json_reply(self._item(asked, await self.load(name)))

    async def load(self, name: str) -> dict[str, Any]:
        """Return what waits for a model and what runs."""
        served = self._catalog.served(name)
        queued = await self._engine.store.waiting(name)
        counts = {each.value: sum(queued.get(each, {}).values()) for each in PRIORITIES}
        return {
            "slug": slug(name),
            "priorities": counts,
            "waiting": sum(counts.values()),
            "running": served.running,
            "slots": served.slots,
        }

    def _item(self, asked: str, load: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": asked,
            "object": "model",
            "created": self._catalog.started_at,
            "owned_by": "penstock",
            "penstock": load,
        }
