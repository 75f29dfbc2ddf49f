"""The Store port: every step of a request is one script in its partition (PROTOCOL 3 to 5)."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from broker.claims import Claim, Done, Early, Finish, Late, Run, Running
from broker.ports import Reservation, Selection
from broker.ports.store import MARK_KEPT_S
from broker.redis_store.batcher import Batcher
from broker.redis_store.births import Births
from broker.redis_store.fields import at_birth, record_of
from broker.redis_store.keys import Keys
from broker.redis_store.lists import Lists
from broker.redis_store.scripts import script
from broker.redis_store.waiting import summed
from broker.redis_store.waits import Waits
from broker.scheduling.claiming import forgotten_from
from schemas.attempts import Attempt, encode_attempt
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.errors import TERMINAL_CODES, EngineError, StoreUnavailable
from schemas.ids import ID_LENGTH, partition_of_seed
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Result, decode_result, encode_result

# A wake-up can be lost; this bounds what that costs.
_LOOK_AGAIN_S = 2.0
# What one script looks at, so that it holds Redis up for a few ms at most.
_MOST_READ = 500
_MARK_KEPT_MS = round(MARK_KEPT_S * 1000)


class RedisStore:
    """The records in Redis."""

    def __init__(
        self, batcher: Batcher, keys: Keys, owner: str, retention_s: float, waits: Waits
    ) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._retention_s = retention_s
        self._waits = waits
        self._lists = Lists(batcher, keys)
        self._births = Births(batcher, keys)

    async def create(self, envelope: Envelope, mark: bytes | None = None) -> bool:
        keys = self._keys.of_birth(envelope.id, envelope.tenant)
        if mark is not None:
            keys = (*keys, self._keys.mark(mark))
        args = (encode(envelope), envelope.generation, _MARK_KEPT_MS, *at_birth(envelope))
        command = script("create", keys, envelope.id, *args)
        return bool(await self._batcher.submit(self._keys.tag(envelope.id), *command))

    async def create_all(self, envelopes: Sequence[Envelope]) -> Sequence[bool | EngineError]:
        made = await self._births.create(envelopes)
        # What was there, or is not plain, is looked at as by itself.
        left = [place for place, told in enumerate(made) if told is False]
        alone = await asyncio.gather(
            *(self.create(envelopes[place]) for place in left), return_exceptions=True
        )
        for place, told in zip(left, alone, strict=True):
            if isinstance(told, BaseException) and not isinstance(told, EngineError):
                raise told
            made[place] = told
        return made

    async def taken_in(self, mark: bytes) -> str | None:
        found = await self._on_mark("SPOP", mark)
        return None if found is None else str(found.decode())

    async def forget_mark(self, mark: bytes, request_id: str) -> bool:
        return bool(await self._on_mark("SREM", mark, request_id))

    async def mark_published(self, request_id: str, generation: int) -> None:
        await self.run("mark_published", request_id, generation)

    async def mark_all_published(self, envelopes: Sequence[Envelope]) -> None:
        await self._births.mark_published(envelopes)

    async def take_back(self, envelope: Envelope) -> bool:
        result = _ended(Status.FAILED, "not_accepted")
        args = (*self.closing(result), envelope.generation, repr(envelope.accepted_at))
        return bool(await self._bear("take_back", envelope, *args))

    async def get(self, request_id: str) -> Record | None:
        return _record(request_id, await self.run("read", request_id))

    async def asked(self, request_id: str) -> bytes | None:
        key, tag = self._keys.of_request(request_id)[11], self._keys.tag(request_id)
        body: bytes | None = await self._batcher.submit(tag, "GET", key)
        return body

    async def forget(self, request_id: str) -> bool:
        return bool(await self.run("forget", request_id))

    async def wait(
        self, request_id: str, timeout_s: float, tenant: str | None = None
    ) -> Record | None:
        until = time.monotonic() + timeout_s
        with self._waits.expect(request_id) as ending:
            while (left := until - time.monotonic()) > 0:
                # Redis may come back in time; meanwhile there is nothing to tell.
                with suppress(StoreUnavailable):
                    record = await self._watch(request_id)
                    if record is None or record.terminal or tenant not in (None, record.tenant):
                        return record
                ended = await ending.next(min(left, _LOOK_AGAIN_S))
                if ended is not None:
                    return ended
        return await self.get(request_id)

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        return await self._lists.requests(selection, after, limit)

    async def open_count(self, tenant: str) -> int:
        asked = [
            self._batcher.submit(tag, "HGET", self._keys.counts(tag), tenant)
            for tag in self._keys.partitions
        ]
        return sum(int(count or 0) for count in await asyncio.gather(*asked))

    async def waiting(self, model: str) -> dict[Priority, dict[str, int]]:
        asked = [
            self._batcher.submit(tag, "HGETALL", self._keys.waiting(tag, model))
            for tag in self._keys.partitions
        ]
        return summed(await asyncio.gather(*asked))

    async def waiting_models(self) -> list[str]:
        asked = [
            self._batcher.submit(tag, *script("models", [self._keys.waiting_models(tag)]))
            for tag in self._keys.partitions
        ]
        parts = await asyncio.gather(*asked)
        return list({model.decode() for part in parts for model in part})

    async def statuses(self, request_ids: Sequence[str]) -> dict[str, Status]:
        together: dict[str, list[str]] = defaultdict(list)
        for each in request_ids:
            together[self._keys.tag(each)].append(each)
        groups = [
            (tag, ids[start : start + _MOST_READ])
            for tag, ids in together.items()
            for start in range(0, len(ids), _MOST_READ)
        ]
        asked = [
            self._batcher.submit(tag, *script("statuses", [self._keys.record_prefix(tag)], *ids))
            for tag, ids in groups
        ]
        answers = zip(groups, await asyncio.gather(*asked), strict=True)
        return {
            each: Status(status.decode())
            for (_, ids), told in answers
            for each, status in zip(ids, told, strict=True)
            if status
        }

    async def witness(self, request_ids: Sequence[str]) -> dict[str, Status]:
        asked = [self._send("witness", each, self._owner) for each in request_ids]
        answers = zip(request_ids, await asyncio.gather(*asked), strict=True)
        return {each: Status(status.decode()) for each, status in answers if status}

    async def claim(self, envelope: Envelope, reservation: Reservation) -> Claim:
        return await self._claim(envelope, reservation, "")

    async def take_over(
        self, envelope: Envelope, dead_owner: str, reservation: Reservation
    ) -> Claim:
        return await self._claim(envelope, reservation, dead_owner)

    async def next_attempt(
        self, request_id: str, attempt: int, reservation: Reservation, made: Attempt | None = None
    ) -> bool:
        args = (self._owner, attempt, reservation.backend, reservation.id, _told(made))
        return bool(await self.run("next_attempt", request_id, *args))

    async def requeue(self, envelope: Envelope, attempt: int, made: Attempt | None = None) -> bool:
        generation, not_before = envelope.generation, repr(envelope.not_before or 0)
        args = (self._owner, attempt, generation, not_before, _told(made))
        return bool(await self.run("requeue", envelope.id, *args))

    async def park(self, copy: Envelope, what: str) -> bool:
        args = (copy.generation, repr(copy.not_before or 0), what)
        return bool(await self.run("park", copy.id, *args))

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
        args = [
            *self.closing(result),
            attempt,
            reservation.backend if reservation else "",
            reservation.id if reservation else "",
            encode(envelope) if keep_envelope else b"",
            _told(made),
            result.usage.total_tokens if result.usage else "",
        ]
        verdict, *rest = await self.run("finish", envelope.id, *args)
        if verdict == b"missing":
            verdict, *rest = await self._bear("finish", envelope, *args)
        if verdict == b"won":
            return Finish(won=True, result=result)
        stored = rest[0]
        return Finish(won=False, result=decode_result(stored) if stored else None)

    async def mark_replied(self, request_id: str) -> None:
        await self.run("mark_replied", request_id)

    async def join(self, tenant: str, body_hash: bytes, holder: str) -> Record | None:
        tag = self._keys.partitions[partition_of_seed(body_hash)]
        first = tenant.encode() + b"\0" + body_hash
        find = ("ZREVRANGEBYLEX", self._keys.joins(tag), b"(" + first + b"\xff", b"[" + first)
        while found := await self._batcher.submit(tag, *find, "LIMIT", 0, 1):
            # What ends in between is no longer found.
            if record := await self.hold(found[0][-ID_LENGTH:].decode(), holder):
                return record
        return None

    async def hold(self, request_id: str, holder: str) -> Record | None:
        return _record(request_id, await self.run("hand_over", request_id, holder))

    async def cancel(self, request_id: str, holder: str | None = None) -> Record | None:
        args = (*self.closing(_ended(Status.CANCELLED, "cancelled")), holder or "")
        return _record(request_id, await self.run("cancel", request_id, *args))

    def on_ended(self, tell: Callable[[str], None]) -> None:
        self._waits.on_ended(tell)

    async def run(self, name: str, request_id: str, *args: Any) -> Any:
        """Run a script about one request."""
        return await self._send(name, request_id, *args)

    def closing(self, result: Result) -> tuple[Any, ...]:
        """Return the arguments of every script that ends a request (scripts/close.lua)."""
        return (
            self._keys.wake,
            repr(self._retention_s),
            result.status.value,
            repr(result.finished_at),
            encode_result(result),
        )

    async def _bear(self, name: str, envelope: Envelope, *args: Any) -> Any:
        """Run a script that makes the record where it is missing."""
        keys = self._keys.of_birth(envelope.id, envelope.tenant)
        command = script(name, keys, envelope.id, *args, *at_birth(envelope))
        return await self._batcher.submit(self._keys.tag(envelope.id), *command)

    async def _on_mark(self, command: str, mark: bytes, *args: str) -> Any:
        tag = self._keys.partitions[partition_of_seed(mark)]
        return await self._batcher.submit(tag, command, self._keys.mark(mark), *args)

    def _send(self, name: str, request_id: str, *args: Any) -> asyncio.Future[Any]:
        command = script(name, self._keys.of_request(request_id), request_id, *args)
        return self._batcher.submit(self._keys.tag(request_id), *command)

    async def _watch(self, request_id: str) -> Record | None:
        return _record(request_id, await self.run("watch", request_id, self._owner))

    async def _claim(self, envelope: Envelope, reservation: Reservation, dead: str) -> Claim:
        args = [
            envelope.generation,
            repr(envelope.deadline),
            repr(envelope.not_before or 0),
            self._owner,
            reservation.backend,
            reservation.id,
            dead,
            repr(forgotten_from(envelope, self._retention_s)),
        ]
        answer = await self.run("claim", envelope.id, *args)
        if answer[0] == b"missing":
            answer = await self._bear("claim", envelope, *args)
        return _claim_of(answer)


def _claim_of(answer: list[Any]) -> Claim:
    match answer:
        case [b"run", attempt, poison]:
            return Run(attempt=attempt, poison=poison)
        case [b"done"]:
            return Done()
        case [b"late", attempt]:
            return Late(attempt=attempt)
        case [b"early", not_before]:
            return Early(not_before=float(not_before))
        case [b"running", owner, attempt, same_generation, poison]:
            return Running(owner.decode(), attempt, bool(same_generation), poison)
        case _:
            raise StoreUnavailable(f"the claim script answered {answer!r}")


def _record(request_id: str, answer: Any) -> Record | None:
    if answer is None:
        return None
    flat, result = answer
    return record_of(request_id, flat, result)


def _told(made: Attempt | None) -> bytes:
    return encode_attempt(made) if made else b""


def _ended(status: Status, code: str) -> Result:
    return Result(status=status, finished_at=time.time(), code=code, message=TERMINAL_CODES[code])
