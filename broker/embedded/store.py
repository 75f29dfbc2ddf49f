"""The store port over the SQLite file: each call is one operation of the writer or the reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import apsw

from broker.claims import Claim, Finish
from broker.embedded import asked, births, endings, held, line_ends, marks, runs, waiting
from broker.embedded.database import Database
from broker.embedded.endings import Ending
from broker.embedded.life import Life
from broker.embedded.lists import REQUESTS, Lists
from broker.embedded.rows import Key, Placed, find, result_of
from broker.embedded.waiters import Waiters
from broker.free_space import FreeSpace
from broker.ports import Reservation, Selection
from broker.scheduling.claiming import Claimant
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.ids import partition_of
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Result


class EmbeddedStore:
    """Fills `Store`. `on_placed` is told of every request that came to wait again."""

    def __init__(
        self,
        database: Database,
        life: Life,
        space: FreeSpace,
        on_placed: Callable[[Placed], None],
    ) -> None:
        self._database = database
        self._life = life
        self._space = space
        self._on_placed = on_placed
        self._lists = Lists(database, life.clock, REQUESTS)
        self.waiters = Waiters()
        self._left: list[Callable[[int], None]] = []

    async def create(self, envelope: Envelope, mark: bytes | None = None) -> bool:
        """Create the record. The row is the message, so it counts as published at once.

        Raises StorageFull below the floor of free space.
        """
        self._space.check()
        now = self._life.clock()
        return await self._database.write(lambda file: births.create(file, envelope, now, mark))

    async def create_all(self, envelopes: Sequence[Envelope]) -> Sequence[bool | EngineError]:
        """Create many in one step; they fail together."""
        try:
            self._space.check()
            now = self._life.clock()
            return await self._database.write(
                lambda file: [births.create(file, each, now, None) for each in envelopes]
            )
        except EngineError as error:
            return [error] * len(envelopes)

    async def taken_in(self, mark: bytes) -> str | None:
        """Return the id of a request that was created with `mark`, and forget that."""
        now = self._life.clock()
        return await self._database.write(lambda file: marks.take(file, mark, now))

    async def forget_mark(self, mark: bytes, request_id: str) -> bool:
        """Forget the mark of a request; False if it has none."""
        return await self._database.write(lambda file: marks.forget(file, mark, request_id))

    async def mark_published(self, request_id: str, generation: int) -> None:
        """Nothing to note: the row is the message."""

    async def mark_all_published(self, envelopes: Sequence[Envelope]) -> None:
        """Nothing to note: the rows are the messages."""

    async def take_back(self, envelope: Envelope) -> bool:
        """End a `queued` record, or write a missing one, as failed (not_accepted)."""
        now, retention_s = self._life.clock(), self._life.retention_s
        return await self._database.write(
            lambda file: endings.take_back(file, envelope, retention_s, now),
            after=lambda ended: self.waiters.wake_if(ended, envelope.id),
        )

    async def set_aside(self, copy: Key, why: str) -> None:
        """End a waiting copy that cannot be handed over as failed (dead_lettered)."""
        now, retention_s = self._life.clock(), self._life.retention_s
        await self._database.write(
            lambda file: endings.set_aside(file, copy, why, retention_s, now),
            after=self.tell_end,
        )

    async def get(self, request_id: str) -> Record | None:
        """Return the record, or None for an unknown id, one past its retention or forgotten."""
        return await self._database.read(endings.read, request_id, self._life.clock())

    async def asked(self, request_id: str) -> bytes | None:
        """Return the body of a request where it is kept."""
        return await self._database.read(asked.read, request_id, self._life.clock())

    async def forget(self, request_id: str) -> bool:
        """Let an ended request read as unknown."""
        now = self._life.clock()
        return await self._database.write(lambda file: endings.forget(file, request_id, now))

    async def wait(
        self, request_id: str, timeout_s: float, tenant: str | None = None
    ) -> Record | None:
        """Return the record as soon as it is terminal, or as it is after `timeout_s`.

        At once when it is not that of `tenant`.
        """
        with self.waiters.expecting(request_id) as ended:
            record = await self.get(request_id)
            if record is None or record.terminal or tenant not in (None, record.tenant):
                return record
            await asyncio.wait({ended}, timeout=timeout_s)
        return await self.get(request_id)

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return a page of the records."""
        return await self._lists.select(selection, after, limit)

    async def open_count(self, tenant: str) -> int:
        """Return how many requests of the tenant are open."""
        return await self._database.read(_open_count, tenant)

    async def waiting(self, model: str) -> dict[Priority, dict[str, int]]:
        """Return how many requests are queued, by class and tenant."""
        return await self._database.read(waiting.counts, model)

    async def waiting_models(self) -> list[str]:
        """Return the models for which anything is queued."""
        return await self._database.read(waiting.models)

    async def statuses(self, request_ids: Sequence[str]) -> dict[str, Status]:
        """Return the status of each known id."""
        return await self._database.read(runs.statuses, list(request_ids))

    async def witness(self, request_ids: Sequence[str]) -> dict[str, Status]:
        """Note that these run here at this heartbeat; return the status of each known id."""
        ids, owner = list(request_ids), self._life.owner
        return await self._database.write(lambda file: runs.witness(file, ids, owner))

    async def claim(self, envelope: Envelope, reservation: Reservation) -> Claim:
        """Take the request for this process, if the table of PROTOCOL 3 allows it."""
        now, claimant = self._life.clock(), self._claimant(reservation)
        retention_s = self._life.retention_s
        return await self._database.write(
            lambda file: runs.claim(file, envelope, claimant, now, retention_s)
        )

    async def take_over(
        self, envelope: Envelope, dead_owner: str, reservation: Reservation
    ) -> Claim:
        """Take the request from `dead_owner`; else as `claim`."""
        now, claimant = self._life.clock(), self._claimant(reservation)
        retention_s = self._life.retention_s
        return await self._database.write(
            lambda file: runs.take_over(file, envelope, claimant, dead_owner, now, retention_s)
        )

    async def next_attempt(
        self, request_id: str, attempt: int, reservation: Reservation, made: Attempt | None = None
    ) -> bool:
        """Write attempt + 1 before its call."""
        now, claimant = self._life.clock(), self._claimant(reservation)
        return await self._database.write(
            lambda file: runs.next_attempt(file, request_id, attempt, claimant, now, made)
        )

    async def requeue(self, envelope: Envelope, attempt: int, made: Attempt | None = None) -> bool:
        """Move `in_progress` back to `queued`; the window is told where it waits."""
        now, owner = self._life.clock(), self._life.owner
        done, _ = await self._database.write(
            lambda file: runs.requeue(file, envelope, attempt, owner, now, made),
            after=self._tell_placed,
        )
        return done

    async def park(self, copy: Envelope, what: str) -> bool:
        """Let a `queued` record wait until the copy's not_before; the alarm clock is told."""
        now = self._life.clock()
        done, _ = await self._database.write(
            lambda file: runs.park(file, copy, what, now), after=self._tell_placed
        )
        return done

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
        """The one commit point."""
        now = self._life.clock()
        retention_s = self._life.retention_s
        ending = Ending(
            result, attempt, retention_s, reservation, keep_envelope, in_hand=True, made=made
        )
        return await self._database.write(
            lambda file: _finish(file, envelope, ending, now),
            after=lambda finish: self.waiters.wake_if(finish.won, envelope.id),
        )

    async def mark_replied(self, request_id: str) -> None:
        """Note that the AMQP reply of an ended request was sent."""
        await self._database.write(lambda file: endings.mark_replied(file, request_id))

    async def join(self, tenant: str, body_hash: bytes, holder: str) -> Record | None:
        """Hold the newest open, held request of this body."""
        return await self._database.write(lambda file: held.join(file, tenant, body_hash, holder))

    async def hold(self, request_id: str, holder: str) -> Record | None:
        """Make `holder` the holder of an open request, if somebody holds it."""
        return await self._database.write(lambda file: held.hold(file, request_id, holder))

    async def cancel(self, request_id: str, holder: str | None = None) -> Record | None:
        """End the request as cancelled unless it is terminal or held by another."""
        now, retention_s = self._life.clock(), self._life.retention_s
        return await self._database.write(
            lambda file: endings.cancel(file, request_id, holder, retention_s, now),
            after=lambda record: self._tell_cancelled(request_id, record),
        )

    def on_ended(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the id of each request that ends."""
        self.waiters.tells.append(tell)

    def on_left(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with the partition of an end that leaves a webhook or a reply to be seen to.

        May be told once more of an end that was there already.
        """
        self._left.append(tell)

    def tell_end(self, record: Record | None) -> None:
        """Tell of a request that has ended without a worker, if one has."""
        if record is None:
            return
        self.waiters.wake(record.id)
        if record.webhook is not None or record.reply_to is not None:
            for tell in self._left:
                tell(partition_of(record.id))

    def _tell_cancelled(self, request_id: str, record: Record | None) -> None:
        if record is None:
            self.waiters.wake(request_id)
        elif record.terminal:
            self.tell_end(record)

    def _tell_placed(self, done: tuple[bool, Placed | None]) -> None:
        if done[1] is not None:
            self._on_placed(done[1])

    def _claimant(self, reservation: Reservation) -> Claimant:
        return Claimant(self._life.owner, reservation.id)


def _open_count(file: apsw.Connection, tenant: str) -> int:
    count: int | None = file.execute(
        "SELECT count FROM open_counts WHERE tenant = ?", (tenant,)
    ).get
    return count or 0


def _finish(file: apsw.Connection, envelope: Envelope, ending: Ending, now: float) -> Finish:
    row = find(file, envelope.id)
    if row is None:
        if not line_ends.may_end(file, envelope):
            return Finish(won=False, result=None)
        row = births.insert(file, envelope, now)
    if endings.finish(file, row, ending):
        return Finish(won=True, result=ending.result)
    return Finish(won=False, result=result_of(file, row.seq, now))
