"""Where the doors listen: the socket, who may reach it, how many connections it takes."""

from __future__ import annotations

import socket

import structlog

from api.wire import Limits
from broker.config_examination import is_loopback
from cli.descriptors import most_connections, raise_descriptor_limit
from schemas.config import Config
from schemas.errors import ConfigError

_log = structlog.get_logger("penstock")


def listen(config: Config) -> socket.socket:
    """Bind now, so that a taken port is one sentence and not a traceback."""
    server = config.server
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.host, server.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {server.host}:{server.port}: {error.strerror}. "
            "Choose another with --port."
        ) from None
    listener.setblocking(False)
    return listener


def limits_of(config: Config) -> Limits:
    """Return the limits of the doors; each connection needs one of the files we may open."""
    limits = Limits.of(config.server, most_connections(raise_descriptor_limit()))
    if limits.connections < config.server.max_connections:
        _log.warning(
            "fewer connections than max_connections: the limit on open files (ulimit -n) is low",
            max_connections=limits.connections,
        )
    return limits


def check_strangers(config: Config) -> None:
    """Raise ConfigError where strangers would be served, as long as no key is configured."""
    host = config.server.host
    if config.has_keys:
        return
    if not is_loopback(host):
        raise ConfigError(
            f"will not listen on {host} without a key: everybody there could use it. Set "
            "PENSTOCK_ADMIN_KEY, or give a tenant a key (penstock keys new)."
        )
