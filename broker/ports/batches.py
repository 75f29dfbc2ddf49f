"""Batches: their state, their lines and who runs them (PROTOCOL 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.batches import (
    Batch,
    BatchStatus,
    BatchUsage,
    Counts,
    Cursor,
    Dialect,
    LineError,
)
from schemas.envelope import Envelope
from schemas.files import Part
from schemas.record import Record

# A runner's hold is renewed every 2 s.
HOLD_S = 8.0


@dataclass(frozen=True, slots=True)
class Held:
    """A batch that this process runs now; `token` fences what it writes."""

    batch: Batch
    token: int


@dataclass(frozen=True, slots=True)
class EndedLine:
    """A line whose request has ended, with its record and result."""

    line: int
    record: Record


@dataclass(frozen=True, slots=True)
class Validated:
    """What the reading of a whole input has found."""

    total: int
    model: str | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one durable step of the gatherer adds to its batch.

    `lines` are ended ones that were read by `ends`; their records go. `output` and `errors` are
    blobs that hold them, already stored. `fed` is set where lines were written that never became
    requests: how far those have come. `failed` are the lines in `errors`. `after` is the number of
    lines that were written before, as the holder knows it.
    """

    lines: Sequence[int]
    counts: Counts
    usage: BatchUsage
    rate: float
    output: Part | None = None
    errors: Part | None = None
    failed: Sequence[int] = ()
    fed: Cursor | None = None
    after: int | None = None


class Batches(Protocol):
    """The batches. A batch and all its lines lie in one partition, so each step here is atomic.

    Steps with a `token` change nothing once a newer hold was given, and say so with False or None.
    Repeated by the same holder they do what they have done. Nor do those that say how many lines
    are written, where the engine knows another number: a rollback has taken back what the holder
    has done, and only what is known now can be gone on from.
    """

    async def create(self, batch: Batch) -> bool:
        """Note a new batch, and tell the workers; False if its id exists."""

    async def get(self, batch_id: str) -> Batch | None:
        """Return a batch; None for an unknown one, or one past its retention."""

    async def select(
        self,
        tenant: str,
        after: str | None,
        limit: int,
        dialect: Dialect = "openai",
        *,
        newest_first: bool = True,
    ) -> list[Batch] | None:
        """Return a page of a tenant's batches of one dialect; None if it has no such `after`."""

    async def running(self, tenant: str) -> list[Batch]:
        """Return a tenant's batches that have not ended, oldest first."""

    async def cancel(self, batch_id: str, at: float) -> Batch | None:
        """Move a batch that has not ended to `cancelling`; return it as it is then."""

    async def pause(self, batch_id: str, *, paused: bool) -> Batch | None:
        """Let the feeder rest, or go on; return the batch as it is then."""

    async def remove(self, batch_id: str) -> bool:
        """Forget a batch that has ended; its files stay. False if there is none such."""

    async def unfinished(self) -> list[str]:
        """Return the batches that want a runner, oldest first: not ended, or not told."""

    async def hold(self, batch_id: str) -> Held | None:
        """Take or renew the hold of this process for `HOLD_S`; None while another one has it.

        A hold taken anew has a token of its own, higher than any before it.
        """

    async def let_go(self, batch_id: str, token: int) -> None:
        """Give up a hold, so that another process need not wait for its end."""

    async def validated(self, batch_id: str, token: int, found: Validated, at: float) -> bool:
        """Move from `validating` to `in_progress`. False if it is no longer validating."""

    async def move(
        self,
        batch_id: str,
        token: int,
        status: BatchStatus,
        at: float,
        errors: Sequence[LineError] = (),
        ended: int | None = None,
    ) -> bool:
        """Enter `status`, noting `errors`; False where BATCH_TRANSITIONS does not lead there.

        `ended` is the number of lines that are written, as the holder knows it.
        """

    async def feed(
        self, batch_id: str, token: int, lines: Sequence[Envelope]
    ) -> Sequence[bool] | None:
        """Make the records of lines, in order of `line`; tell of each whether to publish it.

        That is a new one, or one that nobody has claimed yet. One that runs or has ended is not,
        also after its record is gone. A record of a line never carries its envelope: until `fed`
        moves past it, the input is its second home. None unless `in_progress`, not paused and held
        under `token`. Raises StorageFull like `Store.create`.
        """

    async def fed(self, batch_id: str, token: int, cursor: Cursor) -> bool:
        """Note how far lines are confirmed by the queue."""

    async def ends(
        self, batch_id: str, limit: int, max_bytes: int, skip: int = 0
    ) -> Sequence[EndedLine]:
        """Return lines that have ended and are not gathered, in the batch's order.

        All but the first `skip` of them: those that the runner has read before. At most `limit`,
        and about `max_bytes` of results, but at least one.
        """

    async def gathered(self, batch_id: str, token: int, step: Gathered) -> bool:
        """Add a step to the batch and its files; its lines' records are dropped with it.

        Until then they stay, however long that takes. Files that are not there yet are made. Where
        the batch tells the ends of its lines, their records stay for the usual retention instead.
        False also if the batch has ended, or one of the lines has not or is gathered.
        """

    async def unended(self, batch_id: str) -> Sequence[int]:
        """Return the lines that were made and have not ended; those without a record too."""

    async def lost(self, batch_id: str) -> Sequence[int]:
        """Return the lines that were made, have not ended and have no record."""

    async def failed_lines(self, batch_id: str) -> bytes:
        """Return which lines are in the error file, as bits: line 0 is the highest of byte 0."""

    async def told(self, batch_id: str, token: int) -> None:
        """Note that the webhooks of its end are noted: nobody need run it any more."""

    def on_changed(self, tell: Callable[[], None]) -> None:
        """Call `tell` when a batch was created, cancelled or paused: soon, and perhaps never."""
