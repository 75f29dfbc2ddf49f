"""Choosing the engine: embedded without URLs, RabbitMQ and Redis with them."""

from __future__ import annotations

from broker.blobs.opening import open_blobs
from broker.ports import Engine
from schemas.config import Config


def open_engine(config: Config) -> Engine:
    """Return the engine that the configuration names, not yet started. Raises ConfigError.

    Each engine is imported only when it is chosen: the other one's client is not loaded.
    """
    server = config.server
    blobs = open_blobs(config.blobs, server.data_dir)
    if server.amqp_url is None or server.redis_url is None:
        from broker.embedded.engine import EmbeddedEngine

        return EmbeddedEngine(
            server.data_dir,
            retention_s=server.retention_s,
            batches_kept_s=config.batches.retention_s,
            blobs=blobs,
        )
    from broker.real import RealEngine

    return RealEngine(
        amqp_url=server.amqp_url,
        redis_url=server.redis_url,
        namespace=server.namespace,
        retention_s=server.retention_s,
        batches_kept_s=config.batches.retention_s,
        blobs=blobs,
    )
