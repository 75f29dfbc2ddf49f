"""The slots of this process: renewed from their grant on, given back whatever fails in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from broker.ports import Answer, Cap, Granted, Reservation, Spent, Wait, Want
from schemas.errors import StoreUnavailable
from workers.slots import Slots


class Ledger:
    """Limits that note what they are asked, and are away when told so."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[str] = set()
        self.spent: list[Spent] = []
        self.refunds: list[int] = []
        self.given_up: set[str] = set()
        self.renewed: list[str] = []
        self.wakes: list[Callable[[], None]] = []
        self.away = False
        self.loses_answers = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def reserve(self, wants: Sequence[tuple[Want, str]]) -> list[Answer]:
        self._answer()
        answers: list[Answer] = []
        for want, reservation_id in wants:
            if len(self.held) < self.limit:
                self.held.add(reservation_id)
                answers.append(Granted(Reservation(want.backend, reservation_id)))
            else:
                answers.append(Wait("a slot"))
        if self.loses_answers:
            raise StoreUnavailable("granted, but nobody heard")
        return answers

    async def refund(self, reservations: Iterable[Reservation]) -> None:
        given = list(reservations)
        self.refunds.append(len(given))
        self._answer()
        await self.answers.wait()
        self.held -= {reservation.id for reservation in given}

    async def settle(self, spent: Iterable[Spent]) -> None:
        self._answer()
        self.spent += spent
        self.held -= {each.reservation.id for each in self.spent}

    async def give_up(self, request_ids: Iterable[str]) -> None:
        self._answer()
        self.given_up |= set(request_ids)

    async def renew(self, reservations: Iterable[Reservation]) -> list[Reservation]:
        self._answer()
        self.renewed = [reservation.id for reservation in reservations]
        return [each for each in reservations if each.id not in self.held]

    async def held_by(self, _backend: str) -> int:
        return len(self.held)

    def on_free(self, _backend: str, wake: Callable[[], None]) -> None:
        self.wakes.append(wake)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def wants(backend: str, count: int) -> list[Want]:
    slot = Cap(backend, 100, "a slot")
    return [Want(f"req_{n}", backend, "m", 0, 0.0, 1e12, slot) for n in range(count)]


async def granted_on(slots: Slots, backend: str, count: int) -> list[Reservation]:
    answers = await slots.reserve(wants(backend, count))
    return [answer.reservation for answer in answers if isinstance(answer, Granted)]


def slots_on(ledger: Ledger) -> Slots:
    return Slots(ledger, "me:1")  # type: ignore[arg-type]  # because `held` is a set of this test here


async def test_a_slot_is_renewed_from_its_grant_until_it_is_freed() -> None:
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    granted = await granted_on(slots, "b", 3)
    assert [reservation.id for reservation in granted] == ["me:1:1", "me:1:2"]
    await slots.renew()
    assert ledger.renewed == ["me:1:1", "me:1:2"]
    await slots.settle(granted[0], 12)
    await slots.renew()
    assert ledger.renewed == ["me:1:2"]
    assert ledger.spent == [Spent(granted[0], 12)]
    await slots.refund(granted[1:])
    await slots.renew()
    assert (ledger.renewed, ledger.held) == ([], set())


async def test_what_was_lost_is_told() -> None:
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    granted = await granted_on(slots, "b", 2)
    ledger.held.remove("me:1:2")
    assert await slots.renew() == granted[1:]


async def test_no_id_is_used_twice_in_a_life() -> None:
    """The outbox frees the slot of an ended request once more, perhaps much later."""
    slots = slots_on(Ledger(limit=100))
    granted = [await granted_on(slots, backend, 3) for backend in ("a", "b", "a")]
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
    assert await granted_on(slots, "b", 2) == []
    ledger.loses_answers = False
    assert len(await granted_on(slots, "b", 2)) == 2
    assert ledger.held == {"me:1:3", "me:1:4"}


async def test_a_slot_freed_while_the_engine_is_away_is_freed_later() -> None:
    ledger = Ledger(limit=1)
    slots = slots_on(ledger)
    granted = await granted_on(slots, "b", 1)
    ledger.away = True
    await slots.refund(granted)
    ledger.away = False
    assert len(await granted_on(slots, "b", 1)) == 1
    assert ledger.held == {"me:1:2"}


async def test_what_the_engine_was_away_for_is_said_later() -> None:
    ledger = Ledger(limit=1)
    slots = slots_on(ledger)
    (granted,) = await granted_on(slots, "b", 1)
    ledger.away = True
    await slots.settle(granted, 7)
    await slots.give_up(["req_1"])
    assert await granted_on(slots, "b", 1) == []
    ledger.away = False
    assert len(await granted_on(slots, "b", 1)) == 1
    assert (ledger.spent, ledger.given_up) == ([Spent(granted, 7)], {"req_1"})


async def test_a_long_absence_leaves_no_more_in_doubt_than_was_asked_for_in_vain() -> None:
    """Redis unpacks some thousands of ids at once, no more: with them nothing would ever start."""
    ledger = Ledger(limit=2)
    slots = slots_on(ledger)
    ledger.away = True
    for _ in range(50):
        assert await granted_on(slots, "b", 2) == []
    assert max(ledger.refunds) == 2
    ledger.away = False
    assert len(await granted_on(slots, "b", 2)) == 2


async def test_pools_that_say_the_same_again_forget_nothing_that_came_meanwhile() -> None:
    ledger = Ledger(limit=3)
    slots = slots_on(ledger)
    early, late = await granted_on(slots, "b", 2)
    ledger.away = True
    await slots.refund([early])
    ledger.away = False
    ledger.answers.clear()
    pools = [asyncio.create_task(granted_on(slots, "b", 0)) for _ in range(2)]
    await asyncio.sleep(0)
    ledger.away = True
    await slots.refund([late])
    ledger.away = False
    ledger.answers.set()
    await asyncio.gather(*pools)
    await granted_on(slots, "b", 0)
    assert ledger.held == set()
