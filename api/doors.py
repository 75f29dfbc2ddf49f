"""Which path leads to which handler, and what each asks of its caller."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from api.auth import Access, Authenticator
from api.exchange import Handler, HotRoute
from api.routes.dialect import DialectRoutes
from schemas.config import Config
from schemas.request import ENDPOINTS


class Doors:
    """The routes of the app; those of configured endpoints come and go with the configuration."""

    def __init__(self, app: FastAPI, authenticator: Authenticator, dialect: DialectRoutes) -> None:
        self._app = app
        self._authenticator = authenticator
        self._dialect = dialect
        self._fixed: list[BaseRoute] = []
        self._given = app.router.routes

    def add(self, method: str, path: str, handler: Handler, access: Access = Access.CLIENT) -> None:
        """Serve a path; one below /v1 is also served without that."""
        self._fixed += self._routes(method, path, handler, access)

    def apply(self, config: Config) -> None:
        """Serve the further endpoints of `config`, and no others."""
        further = [
            route
            for endpoint in config.endpoints
            if endpoint not in ENDPOINTS
            for route in self._routes(
                "POST", endpoint, self._dialect.passing(endpoint), Access.CLIENT
            )
        ]
        self._app.router.routes = [*self._fixed, *further, *self._given]

    def _routes(self, method: str, path: str, handler: Handler, access: Access) -> list[BaseRoute]:
        paths = dict.fromkeys((path, path.removeprefix("/v1")))
        hot = HotRoute(handler, access, self._authenticator)
        return [Route(each, hot, methods=[method]) for each in paths]
