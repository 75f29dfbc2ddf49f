"""What the keeper reads and moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from broker.ports.limits import Reservation
from broker.ports.messages import DeadLetter
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.result import Result

OutboxReader: TypeAlias = Literal["settler", "webhooks", "replies"]


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One ended request, for the readers that act on it once more or later.

    `reservation` is what its last call held, `tokens` what that used; None where it is not known.
    `tenant` is None in an entry of an older version. `wants_webhook` tells that the request names
    one, `wants_reply` that it asked for an AMQP reply and no worker held its delivery as it ended,
    `quiet` that its end is told to no registered endpoint.
    """

    request_id: str
    status: Status
    reservation: Reservation | None
    tokens: int | None = None
    tenant: str | None = None
    wants_webhook: bool = False
    wants_reply: bool = False
    quiet: bool = False


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

    async def outbox(
        self, partition: int, limit: int, reader: OutboxReader = "settler"
    ) -> list[tuple[str, OutboxEntry]]:
        """Return entries after the reader's cursor, oldest first, each with its own cursor.

        `replies` finds those that want one and no others. Only the process that holds the partition
        reads, and what it does may be repeated by the next one.
        """

    async def outbox_done(
        self, partition: int, cursor: str, reader: OutboxReader = "settler"
    ) -> None:
        """Move the reader's cursor, never back. An entry goes when all who find it have passed."""

    def on_outbox(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with a partition when an entry came that its readers should not let wait.

        That is one which wants a webhook or a reply, of a request that ended here or elsewhere
        without a worker that could see to it. At most once and perhaps never; also for every
        partition after a time of not hearing.
        """

    async def file_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a foreign message for an operator to look at; the newest 1,000 are kept."""

    async def sweep(self) -> None:
        """Drop what is past its retention, where the store does not do so by itself."""
