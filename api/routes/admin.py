"""/admin/v1: what there is and how it does, for the holder of the admin key."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from api.catalog import Catalog
from api.exchange import Exchange, Handler, Reply, json_reply
from api.routes.models import ModelRoutes
from api.settings import Settings
from broker.ports import Engine, State, Switched
from schemas.errors import RequestError
from schemas.nearness import did_you_mean

_log = structlog.get_logger("penstock.admin")
VERBS = {"pause": State.PAUSED, "resume": State.RUNNING, "drain": State.DRAINING}


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
        """GET /admin/v1/models: each with its targets, its load and its state."""
        await self._refresh()
        return _listed(await asyncio.gather(*(self._model(name) for name in self._catalog.names)))

    async def list_backends(self, _exchange: Exchange) -> Reply:
        """GET /admin/v1/backends: each with the slots held now and its state."""
        await self._catalog.switches.refresh()
        return _listed(await asyncio.gather(*map(self._backend, self._settings.config.backends)))

    def switching_model(self, state: State) -> Handler:
        """Return the handler that sets the state of a model: POST .../models/{name}/pause."""

        async def handle(exchange: Exchange) -> Reply:
            name = exchange.path_params["name"]
            await self._catalog.refresh()
            self._catalog.check_known(name)
            await self._set("model", name, state)
            return json_reply(await self._model(name))

        return handle

    def switching_backend(self, state: State) -> Handler:
        """Return the handler that sets the state of a backend."""

        async def handle(exchange: Exchange) -> Reply:
            name = exchange.path_params["name"]
            known = self._settings.config.backends
            if name not in known:
                near = did_you_mean(name, list(known)) or "."
                said = f"There is no backend {name[:200]!r} here{near}"
                raise RequestError("backend_not_found", said, param="name")
            await self._set("backend", name, state)
            return json_reply(await self._backend(name))

        return handle

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

    async def _set(self, kind: Switched, name: str, state: State) -> None:
        await self._engine.switches.set(kind, name, state)
        _log.info("switched", what=kind, name=name, state=state.value)
        await self._catalog.switches.refresh()

    async def _refresh(self) -> None:
        await asyncio.gather(self._catalog.refresh(), self._catalog.switches.refresh())

    async def _model(self, name: str) -> dict[str, Any]:
        models = self._settings.config.models
        targets = None if models == "auto" else [t.model_dump() for t in models[name].targets]
        aliases = [alias for alias, model in self._catalog.aliases.items() if model == name]
        return {
            "id": name,
            "object": "model",
            "state": self._catalog.switches.state("model", name),
            "aliases": aliases,
            "targets": targets,
            "max_queued": self._settings.server.max_queued,
            **await self._models.load(name),
        }

    async def _backend(self, name: str) -> dict[str, Any]:
        backend = self._settings.config.backends[name]
        models = self._settings.config.models
        serving = (
            None
            if models == "auto"
            else [m for m, each in models.items() if any(t.backend == name for t in each.targets)]
        )
        return {
            "id": name,
            "object": "backend",
            "state": self._catalog.switches.backend_state(name),
            "kind": backend.kind,
            "urls": backend.urls,
            "concurrency": backend.slots,
            "held": await self._engine.limits.held(name),
            "models": serving,
        }


def _listed(data: list[dict[str, Any]]) -> Reply:
    return json_reply({"object": "list", "data": data})
