"""The Limits port: slots as leases in a sorted set per backend (PROTOCOL 3, reserve)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from broker.ports import Reservation
from broker.redis_store.batch import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits


class RedisLimits:
    """The slots of all backends, counted by Redis."""

    def __init__(self, batcher: Batcher, keys: Keys, owner: str, waits: Waits) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._waits = waits
        # The last pulse of each backend that this process saw: the proof of what Redis forgot.
        self._seen: dict[str, int] = defaultdict(int)

    async def reserve(self, backend: str, limit: int, reservation_ids: Sequence[str]) -> int:
        args = (limit, self._owner, self._seen[backend], *reservation_ids)
        granted, self._seen[backend] = await self._run("reserve", backend, *args)
        return int(granted)

    async def release(self, reservations: Iterable[Reservation]) -> None:
        await asyncio.gather(
            *(
                self._run("free", backend, self._keys.wake, backend, *ids)
                for backend, ids in _by_backend(reservations).items()
            )
        )

    async def renew(self, reservations: Iterable[Reservation]) -> None:
        await asyncio.gather(
            *(self._renew(backend, ids) for backend, ids in _by_backend(reservations).items())
        )

    async def held(self, backend: str) -> int:
        count: int = await self._run("held", backend)
        return count

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        self._waits.on_free(backend, wake)

    async def _renew(self, backend: str, ids: list[str]) -> None:
        self._seen[backend] = await self._run("renew", backend, self._seen[backend], *ids)

    async def _run(self, name: str, backend: str, *args: Any) -> Any:
        command = script(name, self._keys.of_backend(backend), *args)
        return await self._batcher.submit(self._keys.limits, *command)


def _by_backend(reservations: Iterable[Reservation]) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = {}
    for reservation in reservations:
        ids.setdefault(reservation.backend, []).append(reservation.id)
    return ids
