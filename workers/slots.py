"""The slots this process holds, from the moment they are granted until they are given back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from broker.ports import Limits, Reservation
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.slots")


class Slots:
    """Every slot of this process passes through here, so that none is held without renewal."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[str, Reservation] = {}
        self._doubtful: list[Reservation] = []

    def __len__(self) -> int:
        return len(self._held)

    async def reserve(self, backend: str, limit: int, ids: Sequence[str]) -> list[Reservation]:
        """Return the slots that were granted, at most one for each id; none while it is unknown."""
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

    async def _return_doubtful(self) -> None:
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, []
            try:
                await self._limits.release(doubtful)
            except EngineError:
                self._doubtful.extend(doubtful)
                raise
