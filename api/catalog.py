"""Which models this door accepts: those in the file, or those that live workers serve."""

from __future__ import annotations

import asyncio
import time

import structlog

from broker.ports import Engine, Served
from schemas.config import Config
from schemas.errors import EngineError, RequestError

_log = structlog.get_logger("penstock.catalog")
_REFRESH_S = 1.0
_NAMES_SHOWN = 5


class Catalog:
    """The models known to one api process, refreshed each second from the workers' heartbeats.

    With `models: auto` the last list is kept while no worker lives: their requests can wait.
    """

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self.apply(config)
        self._served: dict[str, Served] = {}
        self.started_at = int(time.time())

    def apply(self, config: Config) -> None:
        """Know the models of `config` from now on."""
        self._configured = () if config.models == "auto" else tuple(config.models)
        self._auto = config.models == "auto"

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except EngineError as error:
                _log.warning("keeps the last list of models", error=str(error))
            await asyncio.sleep(_REFRESH_S)

    async def refresh(self) -> None:
        """Read once what the workers serve."""
        found = {served.model: served for served in await self._engine.members.served()}
        if found:
            self._served = found
        else:
            self._served = {name: Served(name, 0) for name in self._served}

    @property
    def names(self) -> list[str]:
        """The models that can be asked for, sorted."""
        return sorted(self._served) if self._auto else sorted(self._configured)

    @property
    def has_workers(self) -> bool:
        """Whether some live worker serves something."""
        return any(served.slots for served in self._served.values())

    def served(self, model: str) -> Served:
        """Return what the workers say of `model`; no slots when none serves it."""
        return self._served.get(model, Served(model, 0))

    def check(self, model: str) -> None:
        """Raise RequestError `model_not_found`, naming what there is, unless `model` is known."""
        known = self._served if self._auto else self._configured
        if model in known:
            return
        names = self.names
        if not names:
            raise RequestError(
                "model_not_found",
                "No model is served yet. Start penstock with --backend URL, or wait until the "
                "backend answers.",
                param="model",
            )
        shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        raise RequestError(
            "model_not_found",
            f"The model {model[:200]!r} is not served here. Served: {shown}.",
            param="model",
        )
