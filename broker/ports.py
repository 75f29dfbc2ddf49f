"""Every port on one screen; `broker/amqp`, `broker/redis_store` and `broker/embedded` fill them.

All methods may raise EngineError when the part below does not answer in time; unless a docstring
says otherwise the outcome is then unknown and the same call may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.claims import Claim, Finish
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Result


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
    """A subscription to the messages of one (model, priority)."""

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


class Queue(Protocol):
    """The waiting messages, one queue per model and priority."""

    async def publish(self, envelope: Envelope) -> None:
        """Store a message durably. Returns only once that is confirmed."""

    async def publish_later(self, envelope: Envelope, delay_s: float) -> None:
        """Store a copy that comes back to its queue after the largest tier <= `delay_s`.

        At least the smallest tier. Returns only once confirmed.
        """

    async def consume(
        self,
        model: str,
        priority: Priority,
        prefetch: int,
        deliver: Callable[[Delivery], None],
    ) -> Consumer:
        """Hand deliveries to `deliver`, at most `prefetch` unsettled; survives reconnects."""

    async def consume_dead(self, receive: Callable[[DeadLetter], object]) -> Consumer:
        """Hand each dead letter to the async `receive`; it is acked when that returns."""

    async def depth(self, model: str, priority: Priority) -> int:
        """Return how many messages wait undelivered."""

    async def tiers_empty(self) -> bool:
        """Tell whether no message waits in any retry tier."""

    async def survey(self, models: Sequence[str]) -> list[QueueDepth]:
        """Return the queues of `models`, and those that serve all models."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot of a backend under an id minted by the reserver: `instance:epoch:n`."""

    backend: str
    id: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list shows. Instants are Unix seconds, exclusive; no tenant means all of them."""

    tenant: str | None
    statuses: frozenset[Status] = frozenset()  # empty: all
    model: str | None = None
    priority: Priority | None = None
    created_after: float | None = None
    created_before: float | None = None
    newest_first: bool = True


class Store(Protocol):
    """The records. Every transition is one atomic, repeatable step (PROTOCOL 3 to 5)."""

    async def create(self, envelope: Envelope) -> bool:
        """Create the record, `queued` and not yet published. False if the id exists.

        Only one that was taken back makes room, for a create of a higher generation. A held
        request can be joined while it is open, if its id was made with its body hash as the seed.
        """

    async def mark_published(self, request_id: str, generation: int) -> None:
        """Note that a copy is confirmed: the record drops its envelope."""

    async def take_back(self, envelope: Envelope) -> bool:
        """End a `queued` record as failed (not_accepted). False if a worker already has it.

        A missing record is written so ended: its create may still be on its way. One that another
        submission has made, told by its accepted_at, stays as it is.
        """

    async def get(self, request_id: str) -> Record | None:
        """Return the record, or None for an unknown id or one past its retention."""

    async def wait(
        self, request_id: str, timeout_s: float, tenant: str | None = None
    ) -> Record | None:
        """Return the record as soon as it is terminal, or as it is after `timeout_s`.

        At once when it is not that of `tenant`.
        """

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return at most `limit` records by (accepted_at, id), results without their bodies.

        It goes on behind the record `after`; None if the selection's tenant has no such record.
        What is there all the while is neither missed nor shown twice from page to page.
        """

    async def open_count(self, tenant: str) -> int:
        """Return how many requests of the tenant are queued or in progress."""

    async def statuses(self, request_ids: Sequence[str]) -> dict[str, Status]:
        """Return the status of each known id, in one round trip."""

    async def witness(self, request_ids: Sequence[str]) -> dict[str, Status]:
        """Note that these requests run here at this heartbeat, and return as `statuses`.

        The death of an owner counts as poison only for a run that one of its heartbeats has
        witnessed: what merely waited for its call did not kill it.
        """

    async def claim(self, envelope: Envelope, reservation: Reservation) -> Claim:
        """Take the request for this process, if the table of PROTOCOL 3 allows it."""

    async def take_over(
        self, envelope: Envelope, dead_owner: str, reservation: Reservation
    ) -> Claim:
        """Take it from `dead_owner`: attempt + 1, poison + 1 if witnessed; else as `claim`."""

    async def next_attempt(self, request_id: str, attempt: int, reservation: Reservation) -> bool:
        """Write attempt + 1 before its call. False if the request is no longer ours."""

    async def requeue(self, envelope: Envelope, attempt: int) -> bool:
        """Move `in_progress` back to `queued` with the generation and not_before of `envelope`.

        Only for this process and this attempt, and only after that copy is confirmed.
        """

    async def finish(
        self,
        envelope: Envelope,
        result: Result,
        attempt: int,
        reservation: Reservation | None = None,
        *,
        keep_envelope: bool = False,
    ) -> Finish:
        """The one commit point: terminal status, result, outbox entry and wake-up.

        Wins when the record is not terminal and its attempt is not higher than `attempt`; for a
        `failed` result it must be equal. A missing record is recreated. A dead letter keeps its
        whole envelope in the record.
        """

    async def join(self, tenant: str, body_hash: bytes, holder: str) -> Record | None:
        """Hold the newest open, held request of this body, as `hold`; None if there is none."""

    async def hold(self, request_id: str, holder: str) -> Record | None:
        """Make the process `holder` the holder of an open request; None if it is not open.

        One that nobody holds, since it was told 202, stays so. A holder is a whole process: how
        many of its calls wait for the same request is its own to know before it cancels.
        """

    async def cancel(self, request_id: str, holder: str | None = None) -> Record | None:
        """End the request as cancelled unless it is terminal; return the record as it is then.

        With a `holder` only while that one holds it.
        """

    def on_ended(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the id of a request that this process runs and another one ended.

        At most once and perhaps never, and also for ends of its own: `statuses` is the truth.
        """


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One ended request, for the readers that act on it once more or later."""

    request_id: str
    status: Status
    reservation: Reservation | None


class Upkeep(Protocol):
    """What the keeper reads and moves (PROTOCOL 6), partition by partition."""

    async def hold(self, partition: int) -> bool:
        """Take or extend this process's lease on the partition."""

    async def due(self, partition: int, limit: int) -> list[Record]:
        """Return open records whose next check has come, most overdue first."""

    async def check_again(self, request_id: str, at: float) -> None:
        """Set the next check of an open record."""

    async def unpublished(self, request_id: str) -> Envelope | None:
        """Return the envelope of a record whose message was never confirmed."""

    async def release(self, request_id: str, dead_owner: str) -> bool:
        """Move `in_progress` of `dead_owner` back to `queued`, poison + 1 if witnessed."""

    async def end(self, record: Record, result: Result) -> bool:
        """End an open record without its envelope: expired, cancelled, copy_lost.

        Only if its status, owner, attempt and holder are still those of `record`.
        """

    async def outbox(self, partition: int, limit: int) -> list[tuple[str, OutboxEntry]]:
        """Return entries after the settler's cursor, oldest first, each with its own cursor."""

    async def outbox_done(self, partition: int, cursor: str) -> None:
        """Move the settler's cursor and trim behind it."""

    async def file_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a foreign message for an operator to look at; the newest 1,000 are kept."""

    async def sweep(self) -> None:
        """Drop what is past its retention, where the store does not do so by itself."""


@dataclass(frozen=True, slots=True)
class ForeignLetter:
    """A message that is not ours, as it was filed; `body` may be cut."""

    reason: str
    body: bytes
    filed_at: float


class DeadLetters(Protocol):
    """Requests that ended with their envelope kept, for 7 days, also past their retention."""

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return dead letters as `Store.select` returns records."""

    async def get(self, request_id: str) -> Record | None:
        """Return the record of a dead letter, also past its retention; None if there is none."""

    async def envelope(self, request_id: str) -> Envelope | None:
        """Return the kept envelope; None if there is none, or none that can be read."""

    async def redriven(self, request_id: str, as_id: str) -> bool:
        """Note the request it was sent again as. False if it is gone or names another one."""

    async def purge(self, request_id: str) -> bool:
        """Drop the envelope; the record stays as it is told. False if there is none."""

    async def foreign(self, limit: int) -> list[ForeignLetter]:
        """Return the newest foreign messages, newest first."""

    async def purge_foreign(self) -> int:
        """Drop every foreign message; return how many there were."""


class Limits(Protocol):
    """Slots of backends, exact over all processes; each is held by a lease of 8 s."""

    async def reserve(self, backend: str, limit: int, reservation_ids: Sequence[str]) -> int:
        """Reserve a slot for as many of the ids as fit, in order; return how many.

        With fewer than asked, this process is told through `on_free` when one is released.
        """

    async def release(self, reservations: Iterable[Reservation]) -> None:
        """Free slots; ids that hold none are ignored."""

    async def renew(self, reservations: Iterable[Reservation]) -> None:
        """Assert that these slots are still held; called every 2 s."""

    async def held(self, backend: str) -> int:
        """Return how many slots are held."""

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a slot of `backend` may have become free."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model as the workers serve it now.

    `running` counts requests in their hands, `unstarted` deliveries that wait in their windows.
    `rate` is starts per second of late; `heads` is, by priority, when the request started last
    had been accepted (Unix s).
    """

    model: str
    slots: int
    running: int = 0
    unstarted: int = 0
    rate: float = 0.0
    heads: Mapping[str, float] = field(default_factory=dict)


class Members(Protocol):
    """The living processes and the models they serve."""

    async def beat(self, role: str, serves: Sequence[Served]) -> None:
        """Say that this process is alive for 8 s more, and what it serves."""

    async def last_beat(self, owner: str) -> float | None:
        """Return the seconds since `owner` was last heard of; None when it is dead."""

    async def served(self) -> list[Served]:
        """Return each served model once; the most slots any worker says, the rest summed."""

    async def leave(self) -> None:
        """Say that this process ends; its requests may be taken over at once."""


class Engine(Protocol):
    """One way to stand on real parts: the ports and their common life."""

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def queue(self) -> Queue: ...

    @property
    def store(self) -> Store: ...

    @property
    def upkeep(self) -> Upkeep: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def members(self) -> Members: ...

    async def start(self) -> None:
        """Connect, and keep connecting in the background where a part is away."""

    async def stop(self) -> None:
        """Close everything; safe to call twice, or without `start`."""

    async def health(self) -> dict[str, str | None]:
        """Return each part's name with None when it is well, else a sentence."""
