"""The slots this process holds, from the moment they are granted until they are given back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import structlog

from broker.ports import Limits, Reservation
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.slots")
Wake = Callable[[], None]


class Slots:
    """Every slot of this process passes through here, so that none is held without renewal."""

    def __init__(self, limits: Limits, owner: str) -> None:
        self._limits = limits
        self._owner = owner
        # One row of numbers for the whole life: an outbox entry may free an id once more, later.
        self._numbers = itertools.count(1)
        self._held: dict[str, Reservation] = {}
        self._doubtful: list[Reservation] = []
        self._wakes: dict[str, set[Wake]] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def reserve(self, backend: str, limit: int, count: int) -> list[Reservation]:
        """Return at most `count` new slots; none while it is unknown what was granted."""
        ids = [f"{self._owner}:{next(self._numbers)}" for _ in range(count)]
        wanted = [Reservation(backend, reservation_id) for reservation_id in ids]
        try:
            await self._return_doubtful()
            granted = wanted[: await self._limits.reserve(backend, limit, ids)]
        except EngineError as error:
            _log.warning("no slots while the engine is away", backend=backend, error=str(error))
            # They may have been granted all the same.
            self._doubtful.extend(wanted)
            return []
        self._held.update((reservation.id, reservation) for reservation in granted)
        return granted

    async def free(self, reservations: Iterable[Reservation]) -> None:
        """Give slots back; where the engine is away they are given back with the next reserve."""
        given = list(reservations)
        for reservation in given:
            # First of all: a heartbeat in between would renew it.
            self._held.pop(reservation.id, None)
        try:
            await self._limits.release(given)
        except EngineError as error:
            _log.warning("slots are given back later", error=str(error))
            self._doubtful.extend(given)

    async def renew(self) -> None:
        """Assert every held slot."""
        await self._limits.renew(tuple(self._held.values()))

    def wake_on_free(self, backend: str, wake: Wake) -> None:
        """Call `wake` whenever a slot of `backend` may have become free, until `let_sleep`."""
        if backend not in self._wakes:
            self._wakes[backend] = set()
            self._limits.on_free(backend, lambda: self._wake(backend))
        self._wakes[backend].add(wake)

    def let_sleep(self, backend: str, wake: Wake) -> None:
        """Call `wake` no more for `backend`."""
        self._wakes.get(backend, set()).discard(wake)

    def _wake(self, backend: str) -> None:
        for wake in self._wakes[backend]:
            wake()

    async def _return_doubtful(self) -> None:
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, []
            try:
                await self._limits.release(doubtful)
            except EngineError:
                self._doubtful.extend(doubtful)
                raise
