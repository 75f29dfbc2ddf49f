"""Slots of backends in one process: exact because nobody else counts, and gone with the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from broker.ports import Reservation


class EmbeddedLimits:
    """Fills `Limits`. A lease has nothing to guard here: holder and counter die together."""

    def __init__(self) -> None:
        self._held: dict[str, set[str]] = {}
        self._wakes: dict[str, list[Callable[[], None]]] = {}

    async def reserve(self, backend: str, limit: int, reservation_ids: Sequence[str]) -> int:
        """Reserve a slot for as many of the ids as fit, in order; one that holds a slot fits."""
        held = self._held.setdefault(backend, set())
        for count, reservation_id in enumerate(reservation_ids):
            if reservation_id not in held and len(held) >= limit:
                return count
            held.add(reservation_id)
        return len(reservation_ids)

    async def release(self, reservations: Iterable[Reservation]) -> None:
        """Free slots, then wake whoever wants one."""
        freed: set[str] = set()
        for reservation in reservations:
            held = self._held.get(reservation.backend, set())
            if reservation.id in held:
                held.remove(reservation.id)
                freed.add(reservation.backend)
        loop = asyncio.get_running_loop()
        for backend in freed:
            for wake in self._wakes.get(backend, ()):
                loop.call_soon(wake)

    async def renew(self, reservations: Iterable[Reservation]) -> None:
        """Nothing to assert: no slot ends before its holder does."""

    async def held(self, backend: str) -> int:
        """Return how many slots are held."""
        return len(self._held.get(backend, ()))

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a slot of `backend` may have become free."""
        self._wakes.setdefault(backend, []).append(wake)
