"""Which configured model a name in a line stands for, and whether the batch's tenant may ask it."""

from __future__ import annotations

import time

from broker.ports.members import Members
from schemas.batches import LineError
from schemas.config import Config
from schemas.routes import Routes, opens
from workers.batches.asked import BadLine

_REFRESH_S = 1.0
_NAMES_SHOWN = 5
_NAME_CHARACTERS = 80
# Files name few models, and each many times.
_MOST_REMEMBERED = 1_000


class Opened:
    """What the keys of one tenant open, by one configuration; fills `asked.Opens`.

    With `models: auto` that is what the workers serve; the last list is kept while none lives.
    """

    def __init__(self, members: Members, config: Config, tenant: str) -> None:
        self._members = members
        self._config = config
        self._patterns = config.opened_to(tenant)
        self._names: list[str] = [] if config.models == "auto" else sorted(config.models)
        self._fresh_until = 0.0
        self._route()

    @property
    def known(self) -> bool:
        """Whether any model is served: before, no name should be refused for good."""
        return bool(self._names)

    async def refresh(self) -> None:
        """Read again what the workers serve, at most each second. Raises EngineError."""
        now = time.monotonic()
        if self._config.models != "auto" or now < self._fresh_until:
            return
        names = sorted(served.model for served in await self._members.served())
        self._fresh_until = now + _REFRESH_S
        if names and names != self._names:
            self._names = names
            self._route()

    def __call__(self, asked: str) -> str:
        """Return the configured model that `asked` stands for. Raises BadLine."""
        model = self._remembered.get(asked)
        if model is None:
            model = self._find(asked)
            if len(self._remembered) < _MOST_REMEMBERED:
                self._remembered[asked] = model
        return model

    def natively(self, model: str) -> bool:
        """Tell whether every backend that can serve `model` serves Responses itself."""
        return self._config.natively(model)

    def _route(self) -> None:
        self._routes = Routes(self._names, self._config.aliases)
        self._remembered: dict[str, str] = {}

    def _find(self, asked: str) -> str:
        route = self._routes.resolve(asked)
        if route is None:
            raise BadLine(LineError("model_not_found", self._not_served(asked), param="body.model"))
        if not opens(self._patterns, asked, route.name):
            sentence = (
                f"The key of this batch does not open the model {asked[:_NAME_CHARACTERS]!r}; "
                "name one that it opens."
            )
            raise BadLine(LineError("model_not_allowed", sentence, param="body.model"))
        return route.name

    def _not_served(self, asked: str) -> str:
        what = f"The model {asked[:_NAME_CHARACTERS]!r} is not served here; name one that is"
        names = [name for name in self._names if opens(self._patterns, name)]
        if not names:
            return f"{what}."
        more = len(names) - _NAMES_SHOWN
        shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{what}: {shown}."
