"""What ended with its envelope kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from broker.ports.store import Selection
from schemas.envelope import Envelope
from schemas.record import Record


@dataclass(frozen=True, slots=True)
class ForeignLetter:
    """A message that is not ours, as it was filed; `body` may be cut."""

    reason: str
    body: bytes
    filed_at: float


class DeadLetters(Protocol):
    """Requests that ended with their envelope kept, for 7 days, also past their retention."""

    async def select(
        self, selection: Selection, after: str | None, limit: int
    ) -> list[Record] | None:
        """Return dead letters as `Store.select` returns records."""

    async def get(self, request_id: str) -> Record | None:
        """Return the record of a dead letter, also past its retention; None if there is none."""

    async def envelope(self, request_id: str) -> Envelope | None:
        """Return the kept envelope; None if there is none, or none that can be read."""

    async def redriven(self, request_id: str, as_id: str) -> bool:
        """Note the request it was sent again as. False if it is gone or names another one."""

    async def purge(self, request_id: str) -> bool:
        """Drop the envelope; the record stays as it is told. False if there is none."""

    async def foreign(self, limit: int) -> list[ForeignLetter]:
        """Return the newest foreign messages, newest first."""

    async def purge_foreign(self) -> int:
        """Drop every foreign message; return how many there were."""
