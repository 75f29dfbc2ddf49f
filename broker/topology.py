"""Names and arguments of everything Penstock declares in RabbitMQ (PROTOCOL 2), as pure data.

Identical on 3.10 and 4.x. A queue's arguments can never change: changing one here is drift there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from schemas.ids import slug
from schemas.priority import PRIORITIES, Lane, Priority

# Every nack counts as a delivery on 3.10 to 4.2: this is a fuse, never our poison counter.
DELIVERY_LIMIT = 10_000
_KNOWN_QUEUES = 2_048
# Among what clients publish; of strays there are few.
_OF_STRAYS = Priority.LOW


@dataclass(frozen=True, slots=True)
class Tier:
    """A retry tier: how long a message waits there."""

    name: str
    delay_s: float


TIERS: tuple[Tier, ...] = (
    Tier("1s", 1),
    Tier("5s", 5),
    Tier("30s", 30),
    Tier("2m", 120),
    Tier("10m", 600),
    Tier("1h", 3_600),
    Tier("6h", 21_600),
)


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """A durable exchange; what it has no queue for goes to its `alternate`, if it has one."""

    name: str
    kind: Literal["topic", "fanout"]
    alternate: str | None = None

    @property
    def arguments(self) -> Mapping[str, str]:
        """The arguments that it is declared with."""
        return {} if self.alternate is None else {"alternate-exchange": self.alternate}


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A durable quorum queue, its arguments, and its binding; one also takes a fanout's strays."""

    name: str
    exchange: str
    routing_key: str
    arguments: Mapping[str, str | int]
    strays: str | None = None


def tier_for(delay_s: float) -> Tier:
    """Return the largest tier not beyond `delay_s`; the smallest for anything shorter."""
    fitting = [tier for tier in TIERS if tier.delay_s <= delay_s]
    return fitting[-1] if fitting else TIERS[0]


class Topology:
    """All names of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.work = ExchangeSpec(f"{namespace}.work", "topic")
        self.dead = ExchangeSpec(f"{namespace}.dead", "fanout")
        # A key that fits no queue is answered too, so what carries it must come to somebody.
        self.strays = ExchangeSpec(f"{namespace}.intake.stray", "fanout")
        self.intake = ExchangeSpec(f"{namespace}.intake", "topic", self.strays.name)
        # Without its own limit 4.x would drop a letter after 20 returns.
        limited: dict[str, str | int] = {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
        }
        # It is asked for with each message.
        self._work_queues = lru_cache(_KNOWN_QUEUES)(self._work_queue)
        self.dead_queue = QueueSpec(self.dead.name, self.dead.name, "", MappingProxyType(limited))

    def routing_key(self, model: str, priority: Priority, lane: Lane = Lane.OPEN) -> str:
        """Return the key that leads to the queue of (model, priority, lane)."""
        return f"{slug(model)}.{priority.value}.{lane.value}"

    def work_queue(self, model: str, priority: Priority, lane: Lane = Lane.OPEN) -> QueueSpec:
        """Return the queue where the requests of (model, priority, lane) wait."""
        return self._work_queues(model, priority, lane)

    def _work_queue(self, model: str, priority: Priority, lane: Lane) -> QueueSpec:
        key = self.routing_key(model, priority, lane)
        arguments = _kept_at_least_once(self.dead.name)
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
        return QueueSpec(
            f"{self.namespace}.q.{key}", self.work.name, key, MappingProxyType(arguments)
        )

    def intake_queue(self, priority: Priority) -> QueueSpec:
        """Return the queue where what clients publish with this priority waits for a door."""
        arguments = _kept_at_least_once(self.dead.name)
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
        strays = self.strays.name if priority is _OF_STRAYS else None
        name = f"{self.namespace}.in.{priority.value}"
        return QueueSpec(
            name, self.intake.name, f"*.{priority.value}", MappingProxyType(arguments), strays
        )

    @property
    def stray_queue(self) -> QueueSpec:
        """The intake queue that also takes what fits none."""
        return self.intake_queue(_OF_STRAYS)

    def retry_exchange(self, tier: Tier) -> ExchangeSpec:
        """Return the exchange that leads into `tier`."""
        return ExchangeSpec(f"{self.namespace}.retry.{tier.name}", "fanout")

    def retry_queue(self, tier: Tier) -> QueueSpec:
        """Return the queue of `tier`.

        Without a dead-letter routing key a message leaves it with its own, so one queue a tier
        serves every model.
        """
        name = self.retry_exchange(tier).name
        arguments = _kept_at_least_once(self.work.name)
        arguments["x-message-ttl"] = int(tier.delay_s * 1000)
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
        return QueueSpec(name, name, "", MappingProxyType(arguments))

    def exchanges(self) -> list[ExchangeSpec]:
        """Return every exchange."""
        ways_in = [self.strays, self.intake]
        return [self.dead, self.work, *ways_in, *(self.retry_exchange(tier) for tier in TIERS)]

    def shared_queues(self) -> list[QueueSpec]:
        """Return the queues that exist once, dead-letter targets before what points at them."""
        return [self.dead_queue, *(self.retry_queue(tier) for tier in TIERS)]

    def intake_queues(self) -> list[QueueSpec]:
        """Return the queues that the doors consume, which declare them."""
        return [self.intake_queue(priority) for priority in PRIORITIES]


def _kept_at_least_once(dead_letter_exchange: str) -> dict[str, str | int]:
    # Without x-overflow RabbitMQ falls back to at-most-once without a word.
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": dead_letter_exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
