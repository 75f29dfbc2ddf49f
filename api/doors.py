"""Which path leads to which handler, and what each asks of its caller."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, Route

from api.auth import Access, Authenticator
from api.exchange import Handler, HotRoute, Receive, Scope, Send
from api.routes.dialect import DialectRoutes
from schemas.config import Config
from schemas.request import ENDPOINTS


class Doors:
    """The routes of the app; those of configured endpoints come and go with the configuration.

    As an ASGI app it leads to them past the layers of FastAPI, of which they need nothing: each
    bounds and answers for itself.
    """

    def __init__(self, app: FastAPI, authenticator: Authenticator, dialect: DialectRoutes) -> None:
        self._app = app
        self._authenticator = authenticator
        self._dialect = dialect
        self._fixed: list[BaseRoute] = []
        self._given = app.router.routes
        self._ours: list[BaseRoute] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on: to a route of ours, else to the app, which refuses it."""
        if scope["type"] == "http":
            for route in self._ours:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)

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
        self._ours = [*self._fixed, *further]
        self._app.router.routes = [*self._ours, *self._given]

    def _routes(self, method: str, path: str, handler: Handler, access: Access) -> list[BaseRoute]:
        paths = dict.fromkeys((path, path.removeprefix("/v1")))
        hot = HotRoute(handler, access, self._authenticator)
        return [Route(each, hot, methods=[method]) for each in paths]
