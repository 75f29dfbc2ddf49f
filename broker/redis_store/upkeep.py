"""The Upkeep port: what the keeper and the settler read and move (PROTOCOL 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.ports import DeadLetter, OutboxEntry, OutboxReader, Reservation
from broker.redis_store.batcher import Batcher
from broker.redis_store.dead_letters import filed
from broker.redis_store.fields import record_of
from broker.redis_store.keys import Keys
from broker.redis_store.pruning import Pruning
from broker.redis_store.records import RedisStore
from broker.redis_store.recounting import Recounting
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits
from schemas.codec import decode
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.result import Result

LEASE_S = 10.0
_LETTERS_KEPT = 1_000


class RedisUpkeep:
    """The keeper's view of the records in Redis."""

    def __init__(
        self,
        batcher: Batcher,
        keys: Keys,
        owner: str,
        store: RedisStore,
        pruning: Pruning,
        waits: Waits,
    ) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._store = store
        self._pruning = pruning
        self._waits = waits
        self._recounting = Recounting(batcher, keys)

    async def hold(self, partition: int) -> bool:
        tag = self._keys.partitions[partition]
        lease_ms = int(LEASE_S * 1000)
        return bool(await self._run(tag, "hold", [self._keys.lease(tag)], self._owner, lease_ms))

    async def due(self, partition: int, limit: int) -> list[Record]:
        tag = self._keys.partitions[partition]
        prefix = self._keys.record_prefix(tag)
        found = await self._run(tag, "due", [self._keys.open(tag)], limit, prefix)
        return [record_of(request_id.decode(), flat, None) for request_id, flat in found]

    async def check_again(self, request_id: str, at: float) -> None:
        tag = self._keys.tag(request_id)
        await self._batcher.submit(tag, "ZADD", self._keys.open(tag), "XX", repr(at), request_id)

    async def unpublished(self, request_id: str) -> Envelope | None:
        envelope_key = self._keys.of_request(request_id)[2]
        data = await self._batcher.submit(self._keys.tag(request_id), "GET", envelope_key)
        return decode(data) if data else None

    async def release(self, request_id: str, dead_owner: str) -> bool:
        return bool(await self._store.run("release", request_id, dead_owner))

    async def end(self, record: Record, result: Result) -> bool:
        status, owner, holder = record.status.value, record.owner or "", record.held_by or ""
        seen = (status, owner, record.attempt, holder)
        return bool(await self._store.run("end", record.id, *self._store.closing(result), *seen))

    async def outbox(
        self, partition: int, limit: int, reader: OutboxReader = "settler"
    ) -> list[tuple[str, OutboxEntry]]:
        tag = self._keys.partitions[partition]
        found = await self._run(tag, "outbox", self._keys.outbox(tag, reader)[:2], limit)
        return [(cursor.decode(), _entry(flat)) for cursor, flat in found]

    async def outbox_done(
        self, partition: int, cursor: str, reader: OutboxReader = "settler"
    ) -> None:
        tag = self._keys.partitions[partition]
        await self._run(tag, "outbox_done", self._keys.outbox(tag, reader), cursor)

    def on_outbox(self, tell: Callable[[int], None]) -> None:
        self._waits.on_outbox(tell)

    async def file_dead_letter(self, letter: DeadLetter) -> None:
        tag, letters = self._keys.foreign, self._keys.foreign_letters()
        await self._batcher.submit(tag, "LPUSH", letters, filed(letter))
        await self._batcher.submit(tag, "LTRIM", letters, 0, _LETTERS_KEPT - 1)

    async def sweep(self) -> None:
        """Prune the lists, for every other key that may go has a time to live; count anew."""
        await self._pruning.prune()
        await self._recounting.recount()

    async def _run(self, tag: str, name: str, keys: Any, *args: Any) -> Any:
        return await self._batcher.submit(tag, *script(name, keys, *args))


def _entry(flat: list[bytes]) -> OutboxEntry:
    values = iter(flat)
    fields = {name.decode(): value.decode() for name, value in zip(values, values, strict=True)}
    reservation = Reservation(fields["backend"], fields["slot"]) if fields["slot"] else None
    # An entry of an older version says nothing of tokens, or of the tenant and what it wants.
    tokens = int(fields["tokens"]) if fields.get("tokens") else None
    return OutboxEntry(
        fields["id"],
        Status(fields["status"]),
        reservation,
        tokens,
        tenant=fields.get("tenant"),
        wants_webhook="webhook" in fields,
        wants_reply="reply" in fields,
        quiet="quiet" in fields,
    )
