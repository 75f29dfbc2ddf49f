"""The engine on real parts: RabbitMQ holds the waiting messages, Redis the records and limits."""

from __future__ import annotations

import asyncio
import secrets
import time

import structlog

from broker.amqp.adapter import AmqpQueue
from broker.amqp.declare import NEW_QUEUE_S
from broker.ports import Blobs, Replies, Submissions
from broker.redis_store.parts import BATCHES_KEPT_S, RedisParts

_log = structlog.get_logger("penstock.engine")


class RealEngine:
    """Fills `Engine`; any number of processes share it. Parts that are away are waited for."""

    name = "real"

    def __init__(
        self,
        amqp_url: str,
        redis_url: str,
        *,
        namespace: str,
        retention_s: float,
        blobs: Blobs,
        batches_kept_s: float = BATCHES_KEPT_S,
        new_queue_s: float = NEW_QUEUE_S,
    ) -> None:
        self.owner = new_owner()
        self._redis = RedisParts(
            redis_url,
            self.owner,
            namespace=namespace,
            retention_s=retention_s,
            batches_kept_s=batches_kept_s,
        )
        self.queue = AmqpQueue(amqp_url, namespace, new_queue_s=new_queue_s)
        self.submissions: Submissions | None = self.queue.submissions
        self.replies: Replies = self.queue.replies
        self.store = self._redis.store
        self.upkeep = self._redis.upkeep
        self.dead_letters = self._redis.dead_letters
        self.limits = self._redis.limits
        self.events = self._redis.events
        self.members = self._redis.members
        self.switches = self._redis.switches
        self.webhooks = self._redis.webhooks
        self.batches = self._redis.batches
        self.files = self._redis.files
        self.blobs = blobs

    async def start(self) -> None:
        """Begin to connect; what is not there yet is said once and waited for.

        Raises ConfigError where blobs cannot be kept.
        """
        await self.blobs.start()
        await self._redis.start()
        await self.queue.start()
        for name, trouble in (await self.health()).items():
            if trouble is not None:
                _log.warning("waits", part=name, trouble=trouble)

    async def stop(self) -> None:
        """Close every connection; unsettled messages come back to another worker."""
        await self.queue.stop()
        await self._redis.stop()
        await self.blobs.stop()

    async def health(self) -> dict[str, str | None]:
        """Return whether RabbitMQ, Redis and the place of blobs can be used now."""
        queue, store, blobs = await asyncio.gather(
            self.queue.health(), self._redis.health(), self.blobs.health()
        )
        return {"rabbitmq": queue, "redis": store, "blobs": blobs}


def new_owner() -> str:
    """Return `instance:epoch` for this life of this process; never used twice."""
    return f"{secrets.token_hex(6)}:{time.time_ns() // 1_000_000}"
