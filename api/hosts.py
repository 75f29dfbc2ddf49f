"""As long as no key is asked for, only names of this machine are answered.

A web page can let its own name lead to 127.0.0.1 (DNS rebinding) and would then reach a server that
only this machine reaches. Its browser sends that name as `Host`, and no page can change it.
"""

from __future__ import annotations

from api.exchange import Asgi, Receive, Scope, Send, error_reply, send_reply
from api.settings import Settings
from broker.config_examination import is_loopback
from schemas.errors import RequestError


class Hosts:
    """The app, behind a look at `Host`."""

    def __init__(self, app: Asgi, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on, or refuse it."""
        if scope["type"] != "http" or not self._settings.keyless or self._is_ours(scope):
            await self._app(scope, receive, send)
        else:
            refused = RequestError("host_not_allowed")
            await send_reply(send, error_reply(refused, path=scope["path"]), receive)

    def _is_ours(self, scope: Scope) -> bool:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        name = _without_port(host.decode("latin-1").lower())
        return is_loopback(name) or name == self._settings.server.host.lower()


def _without_port(host: str) -> str:
    """Return the name or address of a `Host`, an IPv6 one without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
