"""The record of a request: what the store knows of it at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.attempts import Attempt
from schemas.envelope import Envelope, OnDisconnect
from schemas.large import kept_apart
from schemas.lifecycle import TERMINAL, Status
from schemas.priority import Priority
from schemas.result import Result

# Of these the body is kept as long as the result: their clients may ask what they had asked.
BODY_KEPT = frozenset({"/v1/responses"})


@dataclass(frozen=True, slots=True)
class Record:
    """A request as the store holds it. Instants are Unix seconds.

    `attempt` numbers the calls to a backend and fences their commits; `generation` is that of the
    newest message; `poison` counts owners that died while running it; `owner` is
    `instance:epoch` of the process that runs it, `slot` the reservation it runs under, `held_by`
    that of the api process whose held call waits for it. `body_hash` is None where an older version
    made the record. `redriven_as` names the request that a dead letter was sent again as.
    `parked_for` names the limit whose turn it waits for until `not_before`; `history` are its
    finished attempts. `replied` tells that its AMQP reply was sent; the other fields from `stream`
    to `quiet` are its envelope's. `result` is set when the status is terminal and its retention
    has not passed.
    """

    id: str
    tenant: str
    model: str
    endpoint: str
    priority: Priority
    status: Status
    accepted_at: float
    deadline: float
    not_before: float | None = None
    generation: int = 0
    attempt: int = 0
    poison: int = 0
    owner: str | None = None
    published: bool = False
    held_by: str | None = None
    on_disconnect: OnDisconnect = "cancel"
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    body_hash: bytes | None = None
    redrive_of: str | None = None
    redriven_as: str | None = None
    slot: str | None = None
    stream: bool = False
    restart: bool = False
    reply_to: str | None = None
    correlation_id: str | None = None
    reply_as: str | None = None
    replied: bool = False
    webhook: str | None = None
    batch: str | None = None
    line: int | None = None
    quiet: bool = False
    parked_for: str | None = None
    history: tuple[Attempt, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    result: Result | None = None

    @property
    def terminal(self) -> bool:
        """Whether the request has ended."""
        return self.status in TERMINAL


def kept_body(envelope: Envelope) -> bytes:
    """Return what is kept of a body as long as the result: itself, or where it lies."""
    return envelope.body if envelope.body_blob is None else kept_apart(envelope.body_blob)


def born(envelope: Envelope) -> Record:
    """Return the record as it is at birth, or as it is rebuilt from its message."""
    return Record(
        id=envelope.id,
        tenant=envelope.tenant,
        model=envelope.model,
        endpoint=envelope.endpoint,
        priority=envelope.priority,
        status=Status.QUEUED,
        accepted_at=envelope.accepted_at,
        deadline=envelope.deadline,
        not_before=envelope.not_before,
        generation=envelope.generation,
        held_by=envelope.held_by,
        on_disconnect=envelope.on_disconnect,
        body_hash=envelope.body_hash,
        redrive_of=envelope.redrive_of,
        stream=envelope.stream,
        restart=envelope.restart,
        reply_to=envelope.reply_to,
        correlation_id=envelope.correlation_id,
        reply_as=envelope.reply_as,
        webhook=envelope.webhook,
        batch=envelope.batch,
        line=envelope.line,
        quiet=envelope.quiet,
        metadata=envelope.metadata,
    )
