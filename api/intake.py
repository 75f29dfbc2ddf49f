"""A request as a door has understood it: checked in shape, not yet admitted."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from api.auth import Caller
from schemas.body import Span
from schemas.envelope import Envelope, OnDisconnect
from schemas.priority import Lane, Priority
from schemas.tokens import input_tokens


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a request is submitted, beside what it asks.

    `key` is the client's Idempotency-Key; `repeated` tells that the client says this is a retry
    of its own; `names_tier` that it wants to be told the `service_tier` that was used. Of a
    Responses request, `background` tells that it is answered at once, `forgotten` that nothing of
    it is kept once it was answered. The last three are for the reply to one who asks by AMQP.
    """

    priority: Priority
    deadline: float
    not_before: float | None = None
    on_disconnect: OnDisconnect = "cancel"
    held: bool = False
    key: str | None = None
    repeated: bool = False
    names_tier: bool = False
    background: bool = False
    forgotten: bool = False
    restart: bool = False
    traceparent: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    reply_as: str | None = None


@dataclass(frozen=True)
class Intake:
    """`path` and `sent` are what the client sent; `body` is what the backend gets.

    `model` is the name as asked for; its bytes in `body` lie at `model_span`. `max_tokens` is the
    most output that it asks for, None where it does not say.
    """

    path: str
    sent: bytes
    body: bytes
    model: str
    model_span: Span
    endpoint: str
    terms: Terms
    content_type: str = "application/json"
    max_tokens: int | None = None
    stream: bool = False
    webhook: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of the path and the body as sent: the same for the same request only."""
        return hashlib.sha256(self.path.encode() + b"\n" + self.sent).digest()

    def envelope(
        self,
        request_id: str,
        caller: Caller,
        model: str,
        holder: str | None,
        generation: int,
        lane: Lane,
    ) -> Envelope:
        """Return the envelope under which it is accepted for `caller`, for this lane of `model`."""
        return Envelope(
            id=request_id,
            tenant=caller.tenant,
            key_id=caller.key_id,
            model=model,
            endpoint=self.endpoint,
            priority=self.terms.priority,
            accepted_at=time.time(),
            deadline=self.terms.deadline,
            not_before=self.terms.not_before,
            generation=generation,
            body=self.body,
            body_hash=self.fingerprint,
            content_type=self.content_type,
            model_span=self.model_span,
            lane=lane,
            input_tokens=input_tokens(self.body),
            max_tokens=self.max_tokens,
            on_disconnect=self.terms.on_disconnect,
            stream=self.stream,
            restart=self.stream and self.terms.restart,
            held_by=holder,
            traceparent=self.terms.traceparent,
            webhook=self.webhook,
            reply_to=self.terms.reply_to,
            correlation_id=self.terms.correlation_id,
            reply_as=self.terms.reply_as,
            metadata=self.metadata,
        )
