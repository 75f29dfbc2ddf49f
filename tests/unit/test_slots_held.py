"""The slots of this process: renewed from their grant on, given back whatever fails in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from broker.ports import Reservation
from schemas.errors import StoreUnavailable
from workers.slots import Slots


class Ledger:
    """Limits that note what they are asked, and are away when told so."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[str] = set()
        self.renewed: list[str] = []
        self.away = False
        self.loses_answers = False

    async def reserve(self, _backend: str, _limit: int, ids: Sequence[str]) -> int:
        self._answer()
        granted = list(ids)[: self.limit - len(self.held)]
        self.held.update(granted)
        if self.loses_answers:
            raise StoreUnavailable("granted, but nobody heard")
        return len(granted)

    async def release(self, reservations: Iterable[Reservation]) -> None:
        self._answer()
        self.held -= {reservation.id for reservation in reservations}

    async def renew(self, reservations: Iterable[Reservation]) -> None:
        self._answer()
        self.renewed = [reservation.id for reservation in reservations]

    async def held_by(self, _backend: str) -> int:
        return len(self.held)

    def on_free(self, _backend: str, _wake: object) -> None: ...

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def slots_on(ledger: Ledger) -> Slots:
    return Slots(ledger)  # type: ignore[arg-type]  # because `held` is a set of this test here


async def test_a_slot_is_renewed_from_its_grant_until_it_is_freed() -> None:
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    granted = await slots.reserve("b", 2, ["1", "2", "3"])
    assert [reservation.id for reservation in granted] == ["1", "2"]
    await slots.renew()
    assert ledger.renewed == ["1", "2"]
    await slots.free(granted[:1])
    await slots.renew()
    assert ledger.renewed == ["2"]


async def test_a_grant_that_nobody_heard_of_is_given_back() -> None:
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    ledger.loses_answers = True
    assert await slots.reserve("b", 2, ["1", "2"]) == []
    ledger.loses_answers = False
    assert len(await slots.reserve("b", 2, ["3", "4"])) == 2
    assert ledger.held == {"3", "4"}


async def test_a_slot_freed_while_the_engine_is_away_is_freed_later() -> None:
    ledger = Ledger(limit=1)
    slots = slots_on(ledger)
    granted = await slots.reserve("b", 1, ["1"])
    ledger.away = True
    await slots.free(granted)
    ledger.away = False
    assert len(await slots.reserve("b", 1, ["2"])) == 1
    assert ledger.held == {"2"}
