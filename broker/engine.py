"""Choosing the engine: embedded without URLs, RabbitMQ and Redis with them."""

from __future__ import annotations

from broker.ports import Engine
from schemas.config import ServerConfig


def open_engine(server: ServerConfig) -> Engine:
    """Return the engine that the configuration names, not yet started.

    Each engine is imported only when it is chosen: the other one's client is not loaded.
    """
    if server.amqp_url is None or server.redis_url is None:
        from broker.embedded.engine import EmbeddedEngine

        return EmbeddedEngine(server.data_dir, retention_s=server.retention_s)
    from broker.real import RealEngine

    return RealEngine(
        amqp_url=server.amqp_url,
        redis_url=server.redis_url,
        namespace=server.namespace,
        retention_s=server.retention_s,
    )
