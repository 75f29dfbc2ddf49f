"""/admin/v1: what there is and how it does, for the holder of the admin key."""

from __future__ import annotations

import asyncio
from typing import Any

from api.catalog import Catalog
from api.exchange import Exchange, Reply, json_reply
from api.routes.models import ModelRoutes
from api.settings import Settings
from broker.ports import Engine
from schemas.config import BackendConfig


class AdminRoutes:
    """The handlers of models, backends and queues."""

    def __init__(
        self, engine: Engine, catalog: Catalog, models: ModelRoutes, settings: Settings
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._models = models
        self._settings = settings

    async def list_models(self, _exchange: Exchange) -> Reply:
        """GET /admin/v1/models: each with its targets and its load."""
        await self._catalog.refresh()
        return _listed(await asyncio.gather(*(self._model(name) for name in self._catalog.names)))

    async def list_backends(self, _exchange: Exchange) -> Reply:
        """GET /admin/v1/backends: each with the slots held now."""
        backends = self._settings.config.backends.items()
        return _listed(await asyncio.gather(*(self._backend(*each) for each in backends)))

    async def list_queues(self, _exchange: Exchange) -> Reply:
        """GET /admin/v1/queues: every queue with what waits in it."""
        found = await self._engine.queue.survey(self._catalog.names)
        return _listed(
            [
                {
                    "id": each.name,
                    "object": "queue",
                    "model": each.model,
                    "priority": each.priority,
                    "waiting": each.waiting,
                }
                for each in found
            ]
        )

    async def _model(self, name: str) -> dict[str, Any]:
        models = self._settings.config.models
        targets = None if models == "auto" else [t.model_dump() for t in models[name].targets]
        aliases = [alias for alias, model in self._catalog.aliases.items() if model == name]
        return {
            "id": name,
            "object": "model",
            "aliases": aliases,
            "targets": targets,
            "max_queued": self._settings.server.max_queued,
            **await self._models.load(name),
        }

    async def _backend(self, name: str, backend: BackendConfig) -> dict[str, Any]:
        models = self._settings.config.models
        serving = (
            None
            if models == "auto"
            else [m for m, each in models.items() if any(t.backend == name for t in each.targets)]
        )
        return {
            "id": name,
            "object": "backend",
            "kind": backend.kind,
            "urls": backend.urls,
            "concurrency": backend.slots,
            "held": await self._engine.limits.held(name),
            "models": serving,
        }


def _listed(data: list[dict[str, Any]]) -> Reply:
    return json_reply({"object": "list", "data": data})
