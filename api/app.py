"""The HTTP application: hot routes as plain ASGI inside a FastAPI app that documents them."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from api.admission import Admission
from api.catalog import Catalog
from api.documentation import document
from api.exchange import Handler, HotRoute, error_reply
from api.holding import Holding
from api.routes.dialect import HELD_ENDPOINTS, held_call
from api.routes.health import HealthRoutes
from api.routes.models import ModelRoutes
from api.routes.requests import RequestRoutes
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.config import Config
from schemas.errors import RequestError

_METHOD_NOT_ALLOWED = 405


@dataclass(frozen=True, slots=True)
class Api:
    """The doors of one process: the ASGI app and the parts with a life of their own."""

    app: FastAPI
    admission: Admission
    holding: Holding
    catalog: Catalog
    tasks: Tasks

    async def start(self) -> None:
        """Begin to follow what the workers serve."""
        self.tasks.supervise("catalog", self.catalog.run)

    def apply(self, config: Config) -> None:
        """Serve by `config` from the next request on."""
        self.catalog.apply(config)

    def drain(self) -> None:
        """Accept nothing more; /ready answers 503."""
        self.admission.draining = True

    async def stop(self) -> None:
        """Answer what is held and end."""
        self.holding.release()
        await self.admission.stop()
        await self.tasks.stop()


def build_api(engine: Engine, config: Config) -> Api:
    """Return the doors on `engine`, which the caller starts."""
    catalog = Catalog(engine, config)
    admission = Admission(engine, catalog)
    holding = Holding(engine)
    app = FastAPI(
        title="Penstock",
        summary="A durable, fair queue in front of AI models.",
        docs_url=None,
        redoc_url=None,
    )
    requests = RequestRoutes(engine, admission, holding, config.server)
    models = ModelRoutes(engine, catalog)
    health = HealthRoutes(engine, admission, catalog)
    _add(app, "POST", "/v1/requests", requests.submit)
    _add(app, "GET", "/v1/requests/{id}", requests.read)
    _add(app, "POST", "/v1/requests/{id}/cancel", requests.cancel)
    for endpoint in HELD_ENDPOINTS:
        _add(app, "POST", endpoint, held_call(endpoint, admission, holding, config.server))
    _add(app, "GET", "/v1/models", models.list_models)
    _add(app, "GET", "/v1/models/{name:path}", models.read_model)
    _add(app, "GET", "/live", health.live)
    _add(app, "GET", "/ready", health.ready)
    _add(app, "GET", "/health", health.ready)
    _add(app, "GET", "/metrics", health.metrics)
    app.add_exception_handler(HTTPException, _refuse)
    document(app)
    return Api(app, admission, holding, catalog, Tasks("api"))


def _add(app: FastAPI, method: str, path: str, handler: Handler) -> None:
    app.router.routes.append(Route(path, HotRoute(handler), methods=[method]))


async def _refuse(_request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method in the same shape as everything else."""
    wrong_method = isinstance(error, HTTPException) and error.status_code == _METHOD_NOT_ALLOWED
    reply = error_reply(RequestError("method_not_allowed" if wrong_method else "route_not_found"))
    return Response(reply.body, reply.status, dict(reply.headers), "application/json")
