"""The waiting messages, and how one is handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.priority import Lane, Priority


class Delivery(Protocol):
    """One hand-over of a message; exactly one of `ack` and `requeue` settles it.

    Both are no-ops once the consumer's connection is gone: the message then comes back by itself.
    """

    @property
    def envelope(self) -> Envelope: ...

    async def ack(self) -> None:
        """Forget the message. Only after its record is terminal or a newer copy confirmed (I1)."""

    async def requeue(self) -> None:
        """Put the message back to its old place, for any worker."""


class Consumer(Protocol):
    """A subscription to the messages of one (model, priority, lane)."""

    async def stop(self) -> None:
        """Stop deliveries; those handed over before stay the receiver's to settle."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message RabbitMQ set aside; `envelope` is None for a foreign one."""

    envelope: Envelope | None
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """A queue of the engine and what waits in it; one for all models has no `model`."""

    name: str
    waiting: int
    model: str | None = None
    priority: Priority | None = None
    lane: Lane | None = None


class Queue(Protocol):
    """The waiting messages, one queue per model, priority and lane."""

    async def publish(self, envelope: Envelope) -> None:
        """Store a message durably, in its lane. Returns only once that is confirmed."""

    async def publish_all(self, envelopes: Sequence[Envelope]) -> Sequence[EngineError | None]:
        """Publish many at once; return for each None once it is confirmed, or its error."""

    async def publish_later(self, envelope: Envelope, delay_s: float) -> None:
        """Store a copy that comes back to its lane after the largest tier <= `delay_s`.

        At least the smallest tier. Returns only once confirmed.
        """

    async def consume(
        self,
        model: str,
        priority: Priority,
        lane: Lane,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> Consumer:
        """Hand deliveries to `deliver`, at most `prefetch` unsettled; survives reconnects."""

    async def consume_dead(self, receive: Callable[[DeadLetter], object]) -> Consumer:
        """Hand each dead letter to the async `receive`; it is acked when that returns."""

    async def depth(self, model: str, priority: Priority) -> int:
        """Return how many messages wait undelivered, in both lanes."""

    async def tiers_empty(self) -> bool:
        """Tell whether no message waits in any retry tier."""

    async def survey(self, models: Sequence[str]) -> list[QueueDepth]:
        """Return the queues of `models`, and those that serve all models."""
