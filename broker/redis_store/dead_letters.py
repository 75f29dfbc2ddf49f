"""The DeadLetters port: ended requests with their envelope, and messages that are not ours."""

from __future__ import annotations

import time

import msgpack

from broker.ports import DeadLetter, ForeignLetter, Selection
from broker.redis_store.batcher import Batcher
from broker.redis_store.fields import record_of
from broker.redis_store.keys import Keys
from broker.redis_store.lists import Lists
from broker.redis_store.records import RedisStore
from broker.redis_store.scripts import script
from schemas.codec import BadEnvelope, decode
from schemas.envelope import Envelope
from schemas.ids import is_request_id
from schemas.record import Record

_LETTER_BYTES = 64 * 1024


class RedisDeadLetters:
    """The dead letters in Redis."""

    def __init__(self, batcher: Batcher, keys: Keys, store: RedisStore) -> None:
        self._batcher = batcher
        self._keys = keys
        self._store = store
        self._lists = Lists(batcher, keys)

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        return await self._lists.dead_letters(selection, after, limit)

    async def get(self, request_id: str) -> Record | None:
        if not is_request_id(request_id):
            return None
        found = await self._store.run("letter", request_id)
        return record_of(request_id, *found) if found else None

    async def envelope(self, request_id: str) -> Envelope | None:
        if not is_request_id(request_id):
            return None
        tag = self._keys.tag(request_id)
        data = await self._batcher.submit(tag, "GET", self._keys.dead_prefix(tag) + request_id)
        try:
            return decode(data) if data else None
        except BadEnvelope:
            return None

    async def redriven(self, request_id: str, as_id: str) -> bool:
        return bool(await self._store.run("redriven", request_id, as_id))

    async def purge(self, request_id: str) -> bool:
        return bool(await self._store.run("purge", request_id))

    async def foreign(self, limit: int) -> list[ForeignLetter]:
        letters = self._keys.foreign_letters()
        found = await self._batcher.submit(self._keys.foreign, "LRANGE", letters, 0, limit - 1)
        return [_letter(filed) for filed in found]

    async def purge_foreign(self) -> int:
        command = script("purge_foreign", [self._keys.foreign_letters()])
        return int(await self._batcher.submit(self._keys.foreign, *command))


def filed(letter: DeadLetter) -> bytes:
    """Return the bytes of a foreign message as it is kept: cut where it is long."""
    packed: bytes = msgpack.packb(
        {
            "filed_at": time.time(),
            "reason": letter.reason,
            "bytes": len(letter.body),
            "body": letter.body[:_LETTER_BYTES],
        }
    )
    return packed


def _letter(data: bytes) -> ForeignLetter:
    fields = msgpack.unpackb(data)
    return ForeignLetter(fields["reason"], fields["body"], fields["filed_at"])
