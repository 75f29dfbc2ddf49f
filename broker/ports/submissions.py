"""What clients publish: the AMQP door of an engine that has one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol

from broker.ports.messages import Consumer

# The headers of a submission that mean something.
READ_HEADERS = frozenset(
    (
        "x-penstock-deadline",
        "x-penstock-stream",
        "x-penstock-restart",
        "x-penstock-progress",
        "traceparent",
    )
)


class Verdicts(Protocol):
    """Settles one submission; each is a no-op once its connection is gone: then it comes back."""

    @property
    def live(self) -> bool:
        """Whether it can still be settled."""

    def ack(self) -> None:
        """Forget it."""

    def requeue(self) -> None:
        """Put it back to its place, for any door."""

    def set_aside(self) -> None:
        """Have it dead-lettered."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A message that a client has published, with the properties that it gave it.

    `kind` is its `type`, `expiration` the milliseconds as text. `receipt` settles it, exactly once.
    """

    body: bytes
    routing_key: str
    receipt: Verdicts
    redelivered: bool = False
    user_id: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    message_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    expiration: str | None = None
    kind: str | None = None
    headers: Mapping[str, Any] | None = None

    @property
    def digest(self) -> bytes:
        """The same when it comes again, and for no other that asks for something else."""
        said = sorted((self.headers or {}).items(), key=itemgetter(0))
        # RabbitMQ counts in headers of its own how often it was delivered.
        said = [(name, value) for name, value in said if name in READ_HEADERS]
        asked = (self.routing_key, self.user_id, self.reply_to, self.correlation_id, self.kind)
        stated = (self.content_type, self.expiration, said)
        return hashlib.sha256(repr((asked, stated)).encode() + self.body).digest()


class Submissions(Protocol):
    """The intake: every process that consumes it gets a part of what comes."""

    async def consume(self, take: Callable[[Submission], None]) -> Consumer:
        """Hand submissions to `take`, a bounded number unsettled; survives reconnects."""
