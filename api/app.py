"""The HTTP application: hot routes as plain ASGI inside a FastAPI app that documents them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from api.admission import Admission
from api.amqp_intake.door import AmqpDoor
from api.anthropic.creating import MessageBatches
from api.auth import Access, Authenticator
from api.backlog import Backlog
from api.batches.creating import Creating
from api.batches.retrying import Retrying
from api.batches.watching import Watching
from api.bulk.accepting import Accepting
from api.catalog import Catalog
from api.cors import Cors
from api.doors import Doors
from api.exchange import Asgi, error_reply
from api.files.storing import Storing
from api.files.uploading import Uploads
from api.holding import Holding
from api.hosts import Hosts
from api.openapi.document import build_document
from api.responses.preparing import Preparing
from api.routes.admin import VERBS, AdminRoutes
from api.routes.batches import BatchRoutes
from api.routes.bulk import BulkRoutes
from api.routes.cancelling import CancelRoutes
from api.routes.dead_letters import DeadLetterRoutes
from api.routes.dialect import DialectRoutes
from api.routes.documents import DocumentRoutes
from api.routes.files import FileRoutes
from api.routes.health import HealthRoutes
from api.routes.message_batches import MessageBatchRoutes
from api.routes.models import ModelRoutes
from api.routes.requests import RequestRoutes
from api.routes.responses import ResponseRoutes
from api.routes.webhook_deliveries import WebhookDeliveryRoutes
from api.routes.webhook_endpoints import WebhookEndpointRoutes
from api.settings import Settings
from api.streams.sending import Streams
from api.streams.teller import Teller
from broker.lifecycle import Tasks
from broker.ports import Engine
from schemas.config import Config
from schemas.errors import RequestError
from schemas.message_batches import PATH as MESSAGE_BATCHES
from schemas.request import ENDPOINTS
from schemas.responses.told import ENDPOINT as RESPONSES

_METHOD_NOT_ALLOWED = 405


@dataclass(frozen=True, slots=True)
class Api:
    """The doors of one process: the ASGI app and the parts with a life of their own."""

    app: Asgi
    documented: FastAPI
    admission: Admission
    holding: Holding
    responses: ResponseRoutes
    bulk: BulkRoutes
    catalog: Catalog
    backlog: Backlog
    authenticator: Authenticator
    settings: Settings
    doors: Doors
    amqp: AmqpDoor
    storing: Storing
    watching: Watching
    tasks: Tasks

    async def start(self) -> None:
        """Begin to follow what the workers serve and what waits."""
        self.tasks.supervise("catalog", self.catalog.run)
        self.tasks.supervise("backlog", self.backlog.run)
        self.tasks.supervise("switches", self.catalog.switches.run)
        self.tasks.spawn("amqp door", self._open_amqp())

    async def _open_amqp(self) -> None:
        """Take nothing from the intake before it is known which models there are."""
        await self.catalog.known.wait()
        await self.amqp.start()

    def apply(self, config: Config) -> None:
        """Take a new configuration; requests that are in hand go on as they began."""
        for part in (self.settings, self.authenticator, self.catalog, self.backlog, self.doors):
            part.apply(config)

    def drain(self) -> None:
        """Accept nothing more; /ready answers 503."""
        self.admission.draining = True
        self.bulk.drain()
        self.tasks.spawn("stop the intake", self.amqp.drain())

    async def stop(self) -> None:
        """Answer what is held and end."""
        self.holding.release()
        self.watching.release()
        await self.amqp.stop()
        await self.bulk.stop()
        await self.admission.stop()
        await self.responses.stop()
        await self.storing.stop()
        await self.tasks.stop()


def build_api(engine: Engine, config: Config) -> Api:
    """Return the doors on `engine`, which the caller starts."""
    settings = Settings(config)
    authenticator = Authenticator(config)
    catalog = Catalog(engine, config)
    backlog = Backlog(engine, catalog, config)
    preparing = Preparing(engine, catalog, settings)
    admission = Admission(engine, catalog, backlog, preparing, config.server)
    holding = Holding(engine)
    app = FastAPI(
        title="Penstock",
        summary="A durable, fair queue in front of AI models.",
        docs_url=None,
        redoc_url=None,
    )
    streams = Streams(Teller(engine, backlog, holding), holding)
    requests = RequestRoutes(engine, admission, holding, streams, backlog, settings)
    dialect = DialectRoutes(admission, holding, streams, requests, settings)
    models = ModelRoutes(engine, catalog)
    doors = Doors(app, authenticator, dialect)
    _add_client_routes(doors, requests, dialect, models)
    responses = ResponseRoutes(engine, dialect, streams, settings)
    _add_response_routes(doors, responses)
    accepting = Accepting(engine, admission, catalog, backlog, config.server.namespace)
    bulk = BulkRoutes(admission, accepting, settings)
    doors.add("POST", "/v1/requests:bulk", bulk.submit)
    _add_cancel_routes(doors, CancelRoutes(engine, settings))
    _add_admin_routes(
        doors,
        AdminRoutes(engine, catalog, models, settings),
        DeadLetterRoutes(engine, admission),
    )
    _add_health_routes(doors, HealthRoutes(engine, admission, catalog))
    doors.add("GET", "/asyncapi.json", DocumentRoutes(settings).asyncapi, Access.OPEN)
    _add_webhook_routes(
        doors, WebhookEndpointRoutes(engine, settings), WebhookDeliveryRoutes(engine, settings)
    )
    tasks = Tasks("api")
    storing, watching = _add_batches(doors, engine, admission, catalog, settings, tasks)
    doors.apply(config)
    app.add_exception_handler(HTTPException, _refuse)
    _document(app, settings)
    return Api(
        Hosts(Cors(doors, settings), settings),
        app,
        admission,
        holding,
        responses,
        bulk,
        catalog,
        backlog,
        authenticator,
        settings,
        doors,
        AmqpDoor(engine, authenticator, catalog, backlog, admission, settings),
        storing,
        watching,
        tasks,
    )


def _add_client_routes(
    doors: Doors, requests: RequestRoutes, dialect: DialectRoutes, models: ModelRoutes
) -> None:
    doors.add("POST", "/v1/requests", requests.submit)
    doors.add("GET", "/v1/requests/{id}", requests.read)
    for endpoint in (each for each in ENDPOINTS if each != RESPONSES):
        doors.add("POST", endpoint, dialect.calling(endpoint))
    doors.add("GET", "/v1/requests", requests.list_requests)
    doors.add("GET", "/v1/requests/{id}/events", requests.events)
    doors.add("GET", "/v1/requests/{id}/response", requests.response)
    doors.add("POST", "/v1/requests/{id}/cancel", requests.cancel)
    doors.add("GET", "/v1/models", models.list_models)
    doors.add("GET", "/v1/models/{name:path}", models.read_model)


def _add_cancel_routes(doors: Doors, cancelling: CancelRoutes) -> None:
    doors.add("POST", "/v1/requests/cancel", cancelling.own)
    doors.add("POST", "/admin/v1/requests/cancel", cancelling.of_any_tenant, Access.ADMIN)


def _add_response_routes(doors: Doors, responses: ResponseRoutes) -> None:
    one = f"{RESPONSES}/{{id}}"
    doors.add("POST", RESPONSES, responses.create)
    doors.add("GET", one, responses.read)
    doors.add("DELETE", one, responses.delete)
    doors.add("POST", f"{one}/cancel", responses.cancel)
    doors.add("GET", f"{one}/input_items", responses.input_items)


def _add_batches(
    doors: Doors,
    engine: Engine,
    admission: Admission,
    catalog: Catalog,
    settings: Settings,
    tasks: Tasks,
) -> tuple[Storing, Watching]:
    """Open the doors of files and batches; return who stores the ones and follows the others."""
    storing = Storing(engine)
    uploads = Uploads(engine, settings, storing)
    _add_file_routes(doors, FileRoutes(engine, admission, uploads, storing))
    creating = Creating(engine, admission, settings)
    retrying = Retrying(engine, creating, storing, settings)
    watching = Watching(engine.batches, tasks)
    _add_batch_routes(doors, BatchRoutes(engine, creating, retrying, watching, settings))
    taking = MessageBatches(
        engine, creating, uploads, storing, catalog, settings=settings, tasks=tasks
    )
    _add_message_batch_routes(doors, MessageBatchRoutes(engine, creating, taking, storing))
    return storing, watching


def _add_file_routes(doors: Doors, files: FileRoutes) -> None:
    base = "/v1/files"
    doors.add("GET", base, files.list_files)
    doors.add("POST", base, files.create)
    doors.add("GET", f"{base}/{{id}}", files.read)
    doors.add("DELETE", f"{base}/{{id}}", files.delete)
    doors.add("GET", f"{base}/{{id}}/content", files.content)


def _add_batch_routes(doors: Doors, batches: BatchRoutes) -> None:
    base = "/v1/batches"
    one = f"{base}/{{id}}"
    doors.add("GET", base, batches.list_batches)
    doors.add("POST", base, batches.create)
    doors.add("GET", one, batches.read)
    doors.add("GET", f"{one}/events", batches.events)
    doors.add("POST", f"{one}/cancel", batches.cancel)
    doors.add("POST", f"{one}/retry-failed", batches.retry_failed)
    doors.add("POST", f"{one}/pause", batches.pausing(paused=True))
    doors.add("POST", f"{one}/resume", batches.pausing(paused=False))


def _add_message_batch_routes(doors: Doors, batches: MessageBatchRoutes) -> None:
    one = f"{MESSAGE_BATCHES}/{{id}}"
    doors.add("GET", MESSAGE_BATCHES, batches.list_batches)
    doors.add("POST", MESSAGE_BATCHES, batches.create)
    doors.add("GET", one, batches.read)
    doors.add("DELETE", one, batches.delete)
    doors.add("POST", f"{one}/cancel", batches.cancel)
    doors.add("GET", f"{one}/results", batches.results)


def _add_admin_routes(doors: Doors, admin: AdminRoutes, letters: DeadLetterRoutes) -> None:
    base = "/admin/v1/dead-letters"
    doors.add("GET", "/admin/v1/models", admin.list_models, Access.ADMIN)
    doors.add("GET", "/admin/v1/backends", admin.list_backends, Access.ADMIN)
    doors.add("GET", "/admin/v1/queues", admin.list_queues, Access.ADMIN)
    for verb, state in VERBS.items():
        model, backend = admin.switching_model(state), admin.switching_backend(state)
        doors.add("POST", f"/admin/v1/models/{{name:path}}/{verb}", model, Access.ADMIN)
        doors.add("POST", f"/admin/v1/backends/{{name:path}}/{verb}", backend, Access.ADMIN)
    doors.add("GET", base, letters.list_letters, Access.ADMIN)
    doors.add("GET", f"{base}/foreign", letters.list_foreign, Access.ADMIN)
    doors.add("DELETE", f"{base}/foreign", letters.purge_foreign, Access.ADMIN)
    doors.add("GET", f"{base}/{{id}}", letters.read, Access.ADMIN)
    doors.add("DELETE", f"{base}/{{id}}", letters.purge, Access.ADMIN)
    doors.add("POST", f"{base}/{{id}}/redrive", letters.redrive, Access.ADMIN)


def _add_webhook_routes(
    doors: Doors, endpoints: WebhookEndpointRoutes, deliveries: WebhookDeliveryRoutes
) -> None:
    base = "/v1/webhook_endpoints"
    doors.add("GET", "/v1/webhook_event_types", endpoints.event_types)
    doors.add("GET", base, endpoints.list_endpoints)
    doors.add("POST", base, endpoints.create)
    doors.add("GET", f"{base}/{{id}}", endpoints.read)
    doors.add("POST", f"{base}/{{id}}", endpoints.update)
    doors.add("DELETE", f"{base}/{{id}}", endpoints.delete)
    doors.add("POST", f"{base}/{{id}}/rotate_secret", endpoints.rotate_secret)
    doors.add("POST", f"{base}/{{id}}/test", endpoints.test)
    doors.add("GET", f"{base}/{{id}}/deliveries", deliveries.list_of_endpoint)
    doors.add("GET", "/v1/webhook_deliveries", deliveries.list_all)
    doors.add("POST", "/v1/webhook_deliveries/redeliver", deliveries.redeliver_range)
    doors.add("POST", "/v1/webhook_deliveries/{id}/redeliver", deliveries.redeliver)
    doors.add("GET", "/v1/webhook_secret", deliveries.secret)
    doors.add("POST", "/v1/webhook_secret/rotate", deliveries.rotate_secret)


def _add_health_routes(doors: Doors, health: HealthRoutes) -> None:
    doors.add("GET", "/live", health.live, Access.OPEN)
    doors.add("GET", "/ready", health.ready, Access.OPEN)
    doors.add("GET", "/health", health.ready, Access.OPEN)
    doors.add("GET", "/metrics", health.metrics, Access.OPEN)


def _document(app: FastAPI, settings: Settings) -> None:
    """Make `app.openapi()` describe the hot routes as they are configured now."""

    built = lru_cache(maxsize=1)(build_document)

    def openapi() -> dict[str, Any]:
        return built(settings.further_endpoints)

    app.openapi = openapi  # type: ignore[method-assign]  # because FastAPI documents this override


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method in the same shape as everything else."""
    wrong_method = isinstance(error, HTTPException) and error.status_code == _METHOD_NOT_ALLOWED
    refused = RequestError("method_not_allowed" if wrong_method else "route_not_found")
    reply = error_reply(refused, path=request.scope["path"])
    return Response(reply.body, reply.status, dict(reply.headers), "application/json")
