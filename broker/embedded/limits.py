"""Limits in one process: exact because nobody else counts, and gone with the process.

What the rates have let through of late is forgotten by a restart: a bucket begins full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from broker.ports import Answer, Cap, Rate, Reservation, Spent, Want
from broker.scheduling.places import Line
from broker.scheduling.reserving import Reserver


class EmbeddedLimits:
    """Fills `Limits`. A lease has nothing to guard here: holder and counter die together."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._reserver = Reserver(self._tell)
        self._wakes: dict[str, list[Callable[[], None]]] = {}

    async def reserve(self, wants: Sequence[tuple[Want, str]]) -> list[Answer]:
        """Answer each want, in order."""
        return self._reserver.reserve(wants, self._clock())

    async def refund(self, reservations: Iterable[Reservation]) -> None:
        """Undo reservations, then wake whoever was granted what they held."""
        now = self._clock()
        for reservation in reservations:
            self._reserver.refund(reservation.id, now)

    async def settle(self, spent: Iterable[Spent]) -> None:
        """End reservations, then wake whoever was granted what they held."""
        now = self._clock()
        for each in spent:
            self._reserver.settle(each, now)

    async def renew(
        self,
        reservations: Iterable[Reservation],  # noqa: ARG002  because the port names it
    ) -> list[Reservation]:
        """Nothing is lost: nothing that is held ends before its holder does."""
        return []

    async def give_up(self, request_ids: Iterable[str]) -> None:
        """Drop bookings."""
        self._reserver.give_up(request_ids)

    async def orphans(
        self,
        limit: int,  # noqa: ARG002  because the port names it
    ) -> list[tuple[Reservation, str]]:
        """Nobody else's reservation is here, and ours died with the last process."""
        return []

    async def peek(self, own: Sequence[Cap | Rate], rank: int) -> float:
        """Return when a new request with these limits could start."""
        return self._reserver.peek(own, rank, self._clock())

    async def held(self, key: str) -> int:
        """Return how many are held under the key of a cap."""
        return self._reserver.held(key)

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a slot of `backend` may have become free."""
        self._wakes.setdefault(backend, []).append(wake)

    def _tell(self, line: Line) -> None:
        backend, _ = line
        loop = asyncio.get_running_loop()
        for wake in self._wakes.get(backend, ()):
            loop.call_soon(wake)
