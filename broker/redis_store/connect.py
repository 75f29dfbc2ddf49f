"""How a connection to Redis is made: explicit about what redis-py would otherwise decide.

No library retries (a repeated command could count twice), RESP2 (the same on Redis 7.0, 7.2+ and
Valkey), no socket timeout: whole batches are bounded where they are sent.
"""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_S = 1.0

Opener = Callable[[], AbstractConnection]
Address = tuple[str, int]


class Dialler:
    """Makes unconnected connections from a `redis://`, `rediss://` or `unix://` URL."""

    def __init__(self, url: str) -> None:
        # The pool serves only to read the URL; connections are kept by Node.
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=CONNECT_S,
            socket_keepalive=True,
            health_check_interval=0,
            driver_info=None,
            decode_responses=False,
        )
        self._kind = pool.connection_class
        self._settings = pool.connection_kwargs
        self.address: Address = (
            self._settings.get("host") or self._settings.get("path") or "localhost",
            int(self._settings.get("port") or 6379),
        )

    def to(self, address: Address) -> Opener:
        """Return what opens a connection to `address`, with the URL's other settings."""
        settings = dict(self._settings)
        if "path" not in settings:
            settings["host"], settings["port"] = address
        return lambda: self._kind(**settings)
