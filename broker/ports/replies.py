"""Replies to those who asked by AMQP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to the queue that a client reads its replies from; `kind` is its `type`."""

    to: str
    kind: str
    body: bytes
    content_type: str
    correlation_id: str | None = None
    headers: Mapping[str, str | int] = field(default_factory=dict)


class NoReplies:
    """The replies of an engine without AMQP: nobody has asked by it."""

    async def send(self, reply: Reply) -> bool:  # noqa: ARG002  because the port has it
        """Send nothing."""
        return False


class Replies(Protocol):
    """Where replies are sent."""

    async def send(self, reply: Reply) -> bool:
        """Send a reply; False if nobody can take it: the requester has gone.

        Returns once RabbitMQ has taken it over. One after the other they keep their order.
        """
