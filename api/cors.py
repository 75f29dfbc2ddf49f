"""Cross-origin access for browsers, for the origins in the configuration and nobody else."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware

from api.exchange import Asgi, Receive, Scope, Send
from api.settings import Settings

_TOLD = (
    "x-request-id",
    "x-penstock-backend",
    "x-penstock-attempts",
    "x-penstock-queue-ms",
    "x-penstock-overhead-ms",
    "idempotent-replayed",
    "preference-applied",
    "location",
    "retry-after",
    "x-should-retry",
    "accept-ranges",
    "content-disposition",
    "content-range",
    "etag",
    "x-incomplete",
)


class Cors:
    """The app, behind Starlette's CORS where origins are configured."""

    def __init__(self, app: Asgi, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._origins: list[str] = []
        self._behind = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on."""
        if self._settings.server.cors_origins != self._origins:
            self._follow()
        await self._behind(scope, receive, send)

    def _follow(self) -> None:
        self._origins = self._settings.server.cors_origins
        self._behind = self._app
        if self._origins:
            self._behind = CORSMiddleware(
                self._app,
                allow_origins=self._origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=_TOLD,
                max_age=600,
            )
