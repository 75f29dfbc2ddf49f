"""The envelope: all that a record holds at birth, so that a message can rebuild its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from schemas.priority import Lane, Priority

OnDisconnect = Literal["cancel", "finish"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request as it travels (PROTOCOL I2). Instants are Unix seconds.

    `model` is the configured model that serves it, which names the queue. `body` is what the client
    sent; `model_span` is the byte range of the name asked for in it, which the worker replaces by
    the target's: a JSON string with its quotes, or the raw bytes of a form's part (`content_type`
    multipart/form-data). `generation` counts the copies of the message: only the newest may be
    acted on. `lane` is where it waits. `input_tokens` is an estimate; `max_tokens` the most output
    it asks for, None where it does not say. `reply_to`, `correlation_id` and `reply_as`, a content
    type, are for the reply to one who asked by AMQP. `batch` and `line`, from 0, are for
    one that is a line of a batch; the end of a `quiet` one is told to no registered endpoint.
    `meetings` counts how often a copy met a live foreign owner. A large body of `body_bytes` lies
    in the blob `body_blob`, and `body` is empty. `extra` carries keys of newer versions unread.
    """

    id: str
    tenant: str
    model: str
    endpoint: str
    priority: Priority
    accepted_at: float
    deadline: float
    body: bytes
    body_hash: bytes
    body_blob: str | None = None
    body_bytes: int = 0
    key_id: str | None = None
    content_type: str = "application/json"
    model_span: tuple[int, int] | None = None
    not_before: float | None = None
    generation: int = 0
    meetings: int = 0
    lane: Lane = Lane.OPEN
    input_tokens: int = 0
    max_tokens: int | None = None
    held_by: str | None = None
    on_disconnect: OnDisconnect = "cancel"
    stream: bool = False
    restart: bool = False
    reply_to: str | None = None
    correlation_id: str | None = None
    reply_as: str | None = None
    webhook: str | None = None
    batch: str | None = None
    line: int | None = None
    quiet: bool = False
    redrive_of: str | None = None
    traceparent: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    # Its bytes once they were made: a door writes them to the record and to the message.
    encoded: bytes | None = field(default=None, init=False, compare=False, repr=False)

    def apart(self, key: str) -> Envelope:
        """Return the envelope whose body lies in the blob `key`."""
        return replace(self, body=b"", body_blob=key, body_bytes=len(self.body))

    def together(self, body: bytes) -> Envelope:
        """Return the envelope with the body from its blob."""
        return replace(self, body=body, body_blob=None, body_bytes=0)

    def next_generation(self, not_before: float) -> Envelope:
        """Return the copy that a retry or a parking publishes."""
        return replace(self, generation=self.generation + 1, not_before=not_before, meetings=0)

    def met_live_owner(self) -> Envelope:
        """Return the copy that is put back because another live worker runs the request."""
        return replace(self, meetings=self.meetings + 1)

    def redriven(self, request_id: str, now: float, generation: int = 0) -> Envelope:
        """Return the new request that a redrive of this dead letter makes; it waits as long."""
        return replace(
            self,
            id=request_id,
            accepted_at=now,
            deadline=now + (self.deadline - self.accepted_at),
            not_before=None,
            generation=generation,
            meetings=0,
            held_by=None,
            redrive_of=self.id,
        )
