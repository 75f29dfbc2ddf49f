"""The records of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.claims import Claim, Finish
from broker.ports.limits import Reservation
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Result

MARK_KEPT_S = 86_400.0


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

    async def create(self, envelope: Envelope, mark: bytes | None = None) -> bool:
        """Create the record, `queued` and not yet published. False if the id exists.

        Only one that was taken back makes room, for a create of a higher generation. A held
        request can be joined while it is open, if its id was made with its body hash as the seed.
        With a `mark` it can be found by that for `MARK_KEPT_S`, if its id was made with the mark as
        the seed; requests with equal marks are found one after the other.
        """

    async def create_all(self, envelopes: Sequence[Envelope]) -> Sequence[bool | EngineError]:
        """Create many, each as `create` does; an error stands for one whose outcome is unknown.

        StorageFull stands for one of which nothing was made.
        """

    async def taken_in(self, mark: bytes) -> str | None:
        """Return the id of a request that was created with `mark`, and forget that it was.

        Each is found once: whoever loses the answer creates the request once more.
        """

    async def forget_mark(self, mark: bytes, request_id: str) -> bool:
        """Forget that a request was created with `mark`. False if somebody has taken it."""

    async def mark_published(self, request_id: str, generation: int) -> None:
        """Note that a copy is confirmed: the record drops its envelope."""

    async def mark_all_published(self, envelopes: Sequence[Envelope]) -> None:
        """Note for many, each as `mark_published` does; an error may have let some through."""

    async def take_back(self, envelope: Envelope) -> bool:
        """End a `queued` record as failed (not_accepted). False if a worker already has it.

        A missing record is written so ended: its create may still be on its way. One that another
        submission has made, told by its accepted_at, stays as it is.
        """

    async def get(self, request_id: str) -> Record | None:
        """Return the record, or None for an unknown id, one past its retention or forgotten."""

    async def asked(self, request_id: str) -> bytes | None:
        """Return the body of a request of an endpoint in BODY_KEPT, as long as its result is kept.

        Of a large one where it lies (`schemas.large.blob_of_kept`); None for any other endpoint.
        """

    async def forget(self, request_id: str) -> bool:
        """Let an ended request read as unknown from now on; False if it is not there to be read.

        Its result, its body and its dead letter go. Its id stays taken, so that a late copy of its
        message does not run.
        """

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

    async def waiting(self, model: str) -> Mapping[Priority, Mapping[str, int]]:
        """Return how many requests are queued, by class and tenant; parked ones count too.

        Every transition counts in its own atomic step. What an older version made counts from the
        first step that this one takes with it.
        """

    async def waiting_models(self) -> list[str]:
        """Return the models for which anything is queued, in no order."""

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

    async def next_attempt(
        self, request_id: str, attempt: int, reservation: Reservation, made: Attempt | None = None
    ) -> bool:
        """Write attempt + 1 before its call. False if the request is no longer ours.

        `made` is the attempt that has ended; here and below it joins the record's history.
        """

    async def requeue(self, envelope: Envelope, attempt: int, made: Attempt | None = None) -> bool:
        """Move `in_progress` back to `queued` with the generation and not_before of `envelope`.

        Only for this process and this attempt, and only after that copy is confirmed.
        """

    async def park(self, copy: Envelope, what: str) -> bool:
        """Let a `queued` record wait until the copy's not_before, for the limit `what`.

        Only after that copy is confirmed; a record that knows a newer one stays as it is. The next
        claim, or its end, forgets `what`. False if the record is not queued.
        """

    async def finish(
        self,
        envelope: Envelope,
        result: Result,
        attempt: int,
        reservation: Reservation | None = None,
        *,
        keep_envelope: bool = False,
        made: Attempt | None = None,
    ) -> Finish:
        """The one commit point: terminal status, result, outbox entry and wake-up.

        Wins when the record is not terminal and its attempt is not higher than `attempt`; for a
        `failed` result it must be equal. A missing record is recreated. A dead letter keeps its
        whole envelope in the record.
        """

    async def mark_replied(self, request_id: str) -> None:
        """Note that the AMQP reply of an ended request was sent."""

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
