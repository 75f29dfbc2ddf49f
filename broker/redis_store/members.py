"""The Members port: which processes live, and what they serve (PROTOCOL, Time)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import msgpack

from broker.ports import Served
from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script
from broker.scheduling.served import merge_served

_NAMES = frozenset(field.name for field in fields(Served))


class RedisMembers:
    """The processes that share this Redis and namespace."""

    def __init__(self, batcher: Batcher, keys: Keys, owner: str) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner

    async def beat(self, role: str, serves: Sequence[Served]) -> None:
        says = msgpack.packb({"role": role, "serves": [asdict(each) for each in serves]})
        await self._run("beat", self._owner, says)

    async def last_beat(self, owner: str) -> float | None:
        age = await self._run("last_beat", owner)
        return None if age is None else float(age)

    async def served(self) -> list[Served]:
        says = [msgpack.unpackb(each) for each in await self._run("served")]
        return merge_served(_served(part) for each in says for part in each["serves"])

    async def leave(self) -> None:
        live, serves, *_ = self._keys.of_members()
        leaving = [("ZREM", live, self._owner), ("HDEL", serves, self._owner)]
        for command in leaving:
            await self._batcher.submit(self._keys.members, *command)

    async def _run(self, name: str, *args: Any) -> Any:
        command = script(name, self._keys.of_members(), *args)
        return await self._batcher.submit(self._keys.members, *command)


def _served(part: dict[str, Any]) -> Served:
    """Return what a worker says; one of a newer version may say more."""
    return Served(**{name: value for name, value in part.items() if name in _NAMES})
