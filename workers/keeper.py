"""The keeper: whatever nobody moves, it moves (PROTOCOL 6). It never calls a backend."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from broker import large_bodies
from broker.blobs.dropping import drop_expired
from broker.lifecycle import Tasks
from broker.ports import Engine, Spent
from broker.scheduling.keeping import (
    HELD_UNSTARTED_S,
    LOOK_AGAIN_S,
    LOOK_AGAIN_WAITING_S,
    Facts,
    Move,
    decide,
)
from broker.telemetry import FINISHED, KEEPER_MOVES
from schemas.errors import EngineError
from schemas.ids import PARTITIONS
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Result
from workers.settlement import ended

_log = structlog.get_logger("penstock.keeper")
_ROUND_S = 1.0
_BATCH = 200
_SWEEP_S = 60.0

_ENDINGS: dict[Move, tuple[Status, str]] = {
    Move.EXPIRE: (Status.EXPIRED, "expired"),
    Move.CANCEL: (Status.CANCELLED, "cancelled"),
    Move.COPY_LOST: (Status.FAILED, "copy_lost"),
}


class Keeper:
    """Walks the partitions this process holds a lease on, and settles their outbox."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._empty = EmptyWatch(engine)
        self._tasks = Tasks("keeper")

    def start(self) -> None:
        """Begin the rounds."""
        self._tasks.supervise("rounds", self._rounds)
        self._tasks.supervise("sweep", self._sweeps)

    async def stop(self) -> None:
        """End them."""
        await self._tasks.stop()

    async def _rounds(self) -> None:
        while True:
            for partition in range(PARTITIONS):
                try:
                    await self.round(partition)
                except EngineError as error:
                    _log.warning("partition is away", partition=partition, error=str(error))
            await asyncio.sleep(_ROUND_S)

    async def _sweeps(self) -> None:
        swept = 0
        while True:
            try:
                await self._engine.upkeep.sweep()
                swept = await self._drop_blobs(swept)
                await drop_expired(self._engine.files, self._engine.blobs)
            except EngineError as error:
                _log.warning("no sweep while the engine is away", error=str(error))
            await asyncio.sleep(_SWEEP_S)

    async def _drop_blobs(self, swept: int) -> int:
        """Drop what is past once an hour, in one process; return the hour of the last time."""
        hour = int(time.time() // 3_600)
        if hour == swept or not await self._engine.upkeep.hold(0):
            return swept
        dropped = await large_bodies.drop_past(self._engine, time.time())
        if dropped:
            _log.info("dropped large bodies whose time has passed", blobs=dropped)
        return hour

    async def round(self, partition: int) -> None:
        """Do one round of one partition, if its lease is ours."""
        upkeep = self._engine.upkeep
        if not await upkeep.hold(partition):
            return
        alive: dict[str, bool] = {}
        for record in await upkeep.due(partition, _BATCH):
            try:
                await self._move(record, alive)
            except EngineError as error:
                # Its turn has passed: one that cannot be moved must not hold up the others.
                _log.warning("could not be moved", request=record.id, error=str(error))
                await upkeep.check_again(record.id, time.time() + LOOK_AGAIN_S)
        await self._settle(partition)
        if partition == 0:
            await self._resolve_orphans(alive)

    async def _move(self, record: Record, alive: dict[str, bool]) -> None:
        now = time.time()
        facts = Facts(
            owner_alive=await self._is_alive(record.owner, alive),
            holder_alive=await self._is_alive(record.held_by, alive),
            queues_empty_for_s=await self._empty.seconds(record, now),
        )
        step = decide(record, facts, now)
        if step.move is not Move.WAIT:
            _log.info("moves", request=record.id, move=step.move.value)
            KEEPER_MOVES.labels(step.move.value).inc()
        if step.move in _ENDINGS:
            status, code = _ENDINGS[step.move]
            await self._end(record, ended(status, code))
        elif step.move is Move.RELEASE and record.owner:
            await self._engine.upkeep.release(record.id, record.owner)
        elif step.move is Move.PUBLISH:
            await self._publish(record)
        await self._engine.upkeep.check_again(record.id, step.look_again_at)

    async def _is_alive(self, owner: str | None, alive: dict[str, bool]) -> bool:
        if owner is None:
            return False
        if owner not in alive:
            alive[owner] = await self._engine.members.last_beat(owner) is not None
        return alive[owner]

    async def _end(self, record: Record, result: Result) -> None:
        if await self._engine.upkeep.end(record, result):
            FINISHED.labels(record.model, result.status).inc()

    async def _publish(self, record: Record) -> None:
        envelope = await self._engine.upkeep.unpublished(record.id)
        if envelope is None:
            return
        await self._engine.queue.publish(envelope)
        await self._engine.store.mark_published(record.id, envelope.generation)

    async def _settle(self, partition: int) -> None:
        """Settle ended requests once more: their worker may have died before it did.

        One that ended without a call will not come for the turn it may have booked.
        """
        upkeep = self._engine.upkeep
        entries = await upkeep.outbox(partition, _BATCH)
        if not entries:
            return
        limits = self._engine.limits
        await limits.settle(
            Spent(entry.reservation, entry.tokens) for _, entry in entries if entry.reservation
        )
        await limits.give_up(entry.request_id for _, entry in entries if not entry.reservation)
        await upkeep.outbox_done(partition, entries[-1][0])

    async def _resolve_orphans(self, alive: dict[str, bool]) -> None:
        """Settle or refund what dead processes were charged for, by what the records say."""
        limits = self._engine.limits
        for reservation, request_id in await limits.orphans(_BATCH):
            owner, _, _ = reservation.id.rpartition(":")
            if await self._is_alive(owner, alive):
                continue
            record = await self._engine.store.get(request_id)
            if record is None or record.terminal:
                await limits.settle([Spent(reservation, _tokens_of(record))])
            elif record.slot != reservation.id:
                await limits.refund([reservation])


def _tokens_of(record: Record | None) -> int | None:
    result = record.result if record is not None else None
    return result.usage.total_tokens if result is not None and result.usage is not None else None


@dataclass(slots=True)
class _Looks:
    """The looks at one class: when the last one was, and since when all have found it empty."""

    last_at: float
    empty_since: float | None


class EmptyWatch:
    """Since when a class has shown no message at every look: queue, tiers, workers' windows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._looks: dict[tuple[str, Priority], _Looks] = {}

    async def seconds(self, record: Record, now: float) -> float:
        """Look once more for a record that may have lost its message, and return for how long."""
        due = record.not_before or record.accepted_at
        if record.status is not Status.QUEUED or not record.published:
            return 0.0
        if now < due + HELD_UNSTARTED_S:
            return 0.0
        looks = await self._look(record.model, record.priority, now)
        return 0.0 if looks.empty_since is None else now - looks.empty_since

    async def _look(self, model: str, priority: Priority, now: float) -> _Looks:
        """Look at most once a second; a gap between looks proves nothing and starts anew."""
        known = self._looks.get((model, priority))
        if known is not None and now - known.last_at < _ROUND_S:
            return known
        since: float | None = None
        if await self._is_empty(model, priority):
            unbroken = known is not None and now - known.last_at < 2 * LOOK_AGAIN_WAITING_S
            since = (known.empty_since if known is not None and unbroken else None) or now
        looks = self._looks[model, priority] = _Looks(now, since)
        return looks

    async def _is_empty(self, model: str, priority: Priority) -> bool:
        engine = self._engine
        try:
            for served in await engine.members.served():
                if served.model == model and served.unstarted:
                    return False
            return await engine.queue.depth(model, priority) == 0 and (
                await engine.queue.tiers_empty()
            )
        except EngineError:
            return False
