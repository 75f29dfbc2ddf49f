"""Which web pages may send a form while no key is asked for.

A browser sends a form for any page, to any server that it reaches, without asking first as it does
before JSON. It says which page that is.
"""

from __future__ import annotations

from api.exchange import Exchange
from api.settings import Settings
from schemas.errors import RequestError


def check_origin(exchange: Exchange, settings: Settings) -> None:
    """Raise RequestError for a form of a page that is neither ours nor configured."""
    origin = exchange.header("origin")
    if origin is None or not settings.keyless:
        return
    allowed = settings.server.cors_origins
    if origin in allowed or "*" in allowed or origin.partition("://")[2] == exchange.header("host"):
        return
    raise RequestError(
        "host_not_allowed",
        "While no key is configured, web pages of other origins may send no form; name theirs in "
        "`server.cors_origins`.",
    )
