"""What may run, counted over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot of a backend under an id minted by the reserver: `instance:epoch:n`."""

    backend: str
    id: str


class Limits(Protocol):
    """Slots of backends, exact over all processes; each is held by a lease of 8 s."""

    async def reserve(self, backend: str, limit: int, reservation_ids: Sequence[str]) -> int:
        """Reserve a slot for as many of the ids as fit, in order; return how many.

        With fewer than asked, this process is told through `on_free` when one is released.
        """

    async def release(self, reservations: Iterable[Reservation]) -> None:
        """Free slots; ids that hold none are ignored."""

    async def renew(self, reservations: Iterable[Reservation]) -> None:
        """Assert that these slots are still held; called every 2 s."""

    async def held(self, backend: str) -> int:
        """Return how many slots are held."""

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a slot of `backend` may have become free."""
