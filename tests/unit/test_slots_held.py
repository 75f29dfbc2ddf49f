"""The slots of this process: renewed from their grant on, given back whatever fails in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from broker.ports import Reservation
from schemas.errors import StoreUnavailable
from workers.slots import Slots


class Ledger:
    """Limits that note what they are asked, and are away when told so."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[str] = set()
        self.renewed: list[str] = []
        self.wakes: list[Callable[[], None]] = []
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

    def on_free(self, _backend: str, wake: Callable[[], None]) -> None:
        self.wakes.append(wake)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def slots_on(ledger: Ledger) -> Slots:
    return Slots(ledger, "me:1")  # type: ignore[arg-type]  # because `held` is a set of this test here


async def test_a_slot_is_renewed_from_its_grant_until_it_is_freed() -> None:
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    granted = await slots.reserve("b", 2, 3)
    assert [reservation.id for reservation in granted] == ["me:1:1", "me:1:2"]
    await slots.renew()
    assert ledger.renewed == ["me:1:1", "me:1:2"]
    await slots.free(granted[:1])
    await slots.renew()
    assert ledger.renewed == ["me:1:2"]


async def test_no_id_is_used_twice_in_a_life() -> None:
    """The outbox frees the slot of an ended request once more, perhaps much later."""
    slots = slots_on(Ledger(limit=100))
    granted = [await slots.reserve(backend, 100, 3) for backend in ("a", "b", "a")]
    assert len({reservation.id for some in granted for reservation in some}) == 9


async def test_only_who_still_wants_a_slot_is_woken() -> None:
    ledger = Ledger(limit=1)
    slots = slots_on(ledger)
    woken: list[str] = []

    def stay() -> None:
        woken.append("stays")

    def leave() -> None:
        woken.append("leaves")

    slots.wake_on_free("b", stay)
    slots.wake_on_free("b", leave)
    slots.let_sleep("b", leave)
    assert len(ledger.wakes) == 1
    ledger.wakes[0]()
    assert woken == ["stays"]


async def test_a_grant_that_nobody_heard_of_is_given_back() -> None:
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    ledger.loses_answers = True
    assert await slots.reserve("b", 2, 2) == []
    ledger.loses_answers = False
    assert len(await slots.reserve("b", 2, 2)) == 2
    assert ledger.held == {"me:1:3", "me:1:4"}


async def test_a_slot_freed_while_the_engine_is_away_is_freed_later() -> None:
    ledger = Ledger(limit=1)
    slots = slots_on(ledger)
    granted = await slots.reserve("b", 1, 1)
    ledger.away = True
    await slots.free(granted)
    ledger.away = False
    assert len(await slots.reserve("b", 1, 1)) == 1
    assert ledger.held == {"me:1:2"}
