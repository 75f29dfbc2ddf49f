"""The registered endpoints, as this process knows them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import structlog

from broker.ports import Endpoint, Webhooks
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.webhooks")
# One that was not heard of is found all the same.
_READ_EVERY_S = 30.0
_READ_AGAIN_S = 1.0


class Registry:
    """All endpoints, read again whenever one may have changed."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._by_id: dict[str, Endpoint] = {}
        self._of_tenant: dict[str, list[Endpoint]] = {}
        self._changed = asyncio.Event()
        self._known = asyncio.Event()
        webhooks.on_changed(self._changed.set)

    async def run(self) -> None:
        """Keep them read until cancelled."""
        while True:
            self._changed.clear()
            pause_s = _READ_EVERY_S
            try:
                self._take(await self._webhooks.endpoints())
            except EngineError as error:
                pause_s = _READ_AGAIN_S
                _log.warning("the endpoints cannot be read", error=str(error))
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def known(self) -> None:
        """Return once they have been read."""
        await self._known.wait()

    def of(self, tenant: str) -> Sequence[Endpoint]:
        """Return the endpoints of a tenant that are told anything."""
        return self._of_tenant.get(tenant, ())

    async def find(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint with this id, disabled or not; one that is new is looked for."""
        if endpoint_id not in self._by_id:
            self._take(await self._webhooks.endpoints())
        return self._by_id.get(endpoint_id)

    def _take(self, endpoints: Sequence[Endpoint]) -> None:
        of_tenant: defaultdict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in endpoints:
            if endpoint.disabled_at is None:
                of_tenant[endpoint.tenant].append(endpoint)
        self._by_id = {endpoint.id: endpoint for endpoint in endpoints}
        self._of_tenant = dict(of_tenant)
        self._known.set()
