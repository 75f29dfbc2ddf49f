"""Which models this door accepts: those in the file, or those that live workers serve."""

from __future__ import annotations

import asyncio
import time

import structlog

from api.auth import Caller
from broker.ports import Engine, Served, State
from broker.switchboard import SwitchBoard
from schemas.config import Config
from schemas.errors import EngineError, RequestError
from schemas.ids import slug
from schemas.nearness import did_you_mean
from schemas.routes import Routes

_log = structlog.get_logger("penstock.catalog")
_REFRESH_S = 1.0
_NAMES_SHOWN = 5
_NO_MODEL = (
    "No model is served yet. Start penstock with --backend URL, or wait until the backend answers."
)


class Catalog:
    """The models known to one api process, refreshed each second from the workers' heartbeats.

    With `models: auto` the last list is kept while no worker lives: their requests can wait.
    """

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._served: dict[str, Served] = {}
        self.switches = SwitchBoard(engine.switches)
        self.started_at = int(time.time())
        # Set once it is known what is served: a door that answers for good waits for it.
        self.known = asyncio.Event()
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take the models and aliases of `config`."""
        self._auto = config.models == "auto"
        # None with `models: auto`: what the workers serve is all there is then.
        self.configured = () if config.models == "auto" else tuple(config.models)
        self.aliases = dict(config.aliases)
        self._config = config
        self._route()

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
        if self._auto:
            self._route()
        if self.names:
            self.known.set()

    @property
    def names(self) -> list[str]:
        """The models that can be asked for, sorted; aliases are apart."""
        return sorted(self._served) if self._auto else sorted(self.configured)

    @property
    def has_workers(self) -> bool:
        """Whether some live worker serves something."""
        return any(served.slots for served in self._served.values())

    def served(self, model: str) -> Served:
        """Return what the workers say of `model`; no slots when none serves it."""
        return self._served.get(model) or Served(model, 0)

    def find(self, asked: str, caller: Caller) -> str:
        """Return the model that `asked` stands for.

        Raises RequestError `model_not_found`, naming what there is for this caller, or
        `model_not_allowed`.
        """
        route = self._routes.resolve(asked)
        if route is None:
            raise RequestError("model_not_found", self._not_served(asked, caller), param="model")
        if not caller.opens(asked, route.name):
            raise RequestError("model_not_allowed", param="model")
        return route.name

    def natively(self, model: str) -> bool:
        """Tell whether every backend that can serve `model` serves Responses itself."""
        return self._config.natively(model)

    def named_by(self, model_slug: str) -> str:
        """Return the model or alias with this slug; the slug itself where there is none."""
        return self._by_slug.get(model_slug, model_slug)

    def check_known(self, model: str) -> None:
        """Raise RequestError `model_not_found` unless a model has exactly this name."""
        if model not in self.names:
            near = did_you_mean(model, self.names) or "."
            if model in self.aliases:
                near = f"; it is an alias of `{self.aliases[model]}`."
            raise RequestError(
                "model_not_found", f"There is no model {model[:200]!r} here{near}", param="model"
            )

    def check_accepting(self, model: str) -> None:
        """Raise RequestError `draining` where the operator lets the model take nothing new."""
        if self.switches.state("model", model) is State.DRAINING:
            raise RequestError(
                "draining",
                f"The model {model!r} is draining: it takes no new requests until its operator "
                "resumes it.",
                param="model",
            )

    def held_up(self, model: str) -> str | None:
        """Return in words which switch keeps every request of `model` waiting; None for none."""
        if self.switches.state("model", model) is State.PAUSED:
            return f"model {model} is paused by its operator"
        backends = sorted(self._config.backends_of(model))
        states = [self.switches.backend_state(name) for name in backends]
        if not backends or State.RUNNING in states:
            return None
        if len(backends) == 1:
            how = "paused" if states[0] is State.PAUSED else "being drained"
            return f"backend {backends[0]} is {how} by its operator"
        return f"its backends are all paused or draining: {', '.join(backends)}"

    def _route(self) -> None:
        self._routes = Routes(self.names, self.aliases)
        self._by_slug = {slug(name): name for name in (*self.aliases, *self.names)}

    def _not_served(self, asked: str, caller: Caller) -> str:
        names = [name for name in self.names if caller.opens(name)]
        if not names:
            return _NO_MODEL if not self.names else "No model is served for this key."
        shown = ", ".join(names[:_NAMES_SHOWN])
        if (more := len(names) - _NAMES_SHOWN) > 0:
            shown += f" and {more} more"
        return f"The model {asked[:200]!r} is not served here. Served: {shown}."
