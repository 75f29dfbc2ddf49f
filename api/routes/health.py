"""/live (the loop turns), /ready (it can accept and serve), /metrics."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.admission import Admission
from api.catalog import Catalog
from api.exchange import Exchange, Reply, json_reply
from broker.ports import Engine
from broker.telemetry import REGISTRY

# Only files and large bodies need it: where it is away, all else is served.
_NEEDED_BY_SOME = ("blobs",)


class HealthRoutes:
    """The handlers that operators and load balancers ask."""

    def __init__(self, engine: Engine, admission: Admission, catalog: Catalog) -> None:
        self._engine = engine
        self._admission = admission
        self._catalog = catalog

    async def live(self, _exchange: Exchange) -> Reply:
        """Answer as long as the event loop turns."""
        return json_reply({"status": "ok"})

    async def ready(self, _exchange: Exchange) -> Reply:
        """200 when a request could be accepted and served now, else 503; what is missing in both.

        Where the place of blobs alone is away, every process would leave its balancer at once, for
        the sake of the large requests.
        """
        checks: dict[str, str | None] = dict(await self._engine.health())
        checks["accepting"] = "draining" if self._admission.draining else None
        has_workers = self._catalog.has_workers
        checks["workers"] = None if has_workers else "no live worker serves a model"
        well = not any(what for name, what in checks.items() if name not in _NEEDED_BY_SOME)
        content = {
            "status": "ok" if well else "unavailable",
            "checks": {name: problem or "ok" for name, problem in checks.items()},
        }
        return json_reply(content, 200 if well else 503)

    async def metrics(self, _exchange: Exchange) -> Reply:
        """Return this process's metrics for Prometheus."""
        return Reply(200, generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
