"""Slots of backends: exact, granted in order, given back and told."""

from __future__ import annotations

import asyncio
import time

import pytest

from broker.ports import Granted, Reservation, Spent
from tests.conformance.asking import Asker, waits
from tests.conformance.stages import EMBEDDED, Process, two_processes
from tests.conformance.steps import eventually


@pytest.fixture
def asker(engine: Process) -> Asker:
    return Asker(engine)


async def test_as_many_as_fit_are_granted_in_order(asker: Asker) -> None:
    granted = await asker.granted(5, slots=3)
    assert [each.id for each in granted] == asker.minted[:3]
    assert await asker.held() == 3
    assert not await asker.granted(1, slots=3)
    await asker.limits.settle([Spent(granted[0])])
    assert await asker.held() == 2
    assert len(await asker.granted(2, slots=3)) == 1


async def test_a_reservation_that_is_repeated_holds_one_slot(asker: Asker) -> None:
    wants = [(asker.want(slots=2), asker.mint()) for _ in range(2)]
    for _ in range(2):
        answers = await asker.limits.reserve(wants)
        assert all(isinstance(answer, Granted) for answer in answers)
    assert await asker.held() == 2


@pytest.mark.parametrize("how", ["refund", "settle"])
async def test_a_release_that_is_repeated_frees_one_slot(asker: Asker, how: str) -> None:
    first, _ = await asker.granted(2, slots=2)
    strangers = [Reservation(asker.backend, "never:held:1"), Reservation("no-such", "x:1:1")]
    for some in ([first], [first], strangers):
        if how == "refund":
            await asker.limits.refund(some)
        else:
            await asker.limits.settle([Spent(each, 5) for each in some])
    assert await asker.held() == 1


async def test_backends_do_not_share_slots(engine: Process) -> None:
    assert len(await Asker(engine).granted(2, slots=1)) == 1
    assert len(await Asker(engine).granted(2, slots=1)) == 1


async def test_never_more_than_the_limit_at_once(asker: Asker) -> None:
    tries = await asyncio.gather(*(asker.granted(3, slots=7) for _ in range(10)))
    assert sum(map(len, tries)) == 7
    assert await asker.held() == 7


async def test_renewing_keeps_a_slot_once(asker: Asker) -> None:
    granted = await asker.granted(1, slots=2)
    assert await asker.limits.renew(granted) == []
    assert await asker.held() == 1


@pytest.mark.parametrize("stage", [EMBEDDED], indirect=True)
async def test_without_leases_renewing_brings_no_freed_slot_back(asker: Asker) -> None:
    granted = await asker.granted(1, slots=1)
    await asker.limits.refund(granted)
    await asker.limits.renew(granted)
    assert await asker.held() == 0


async def test_who_got_too_few_is_told_of_a_free_slot(asker: Asker) -> None:
    freed = asyncio.Event()
    asker.limits.on_free(asker.backend, freed.set)
    granted = await asker.granted(2, slots=1)
    freed.clear()  # a wake too many is allowed: a slot *may* have become free
    await asker.limits.settle([Spent(granted[0])])
    async with asyncio.timeout(2):
        await freed.wait()
    assert len(await asker.granted(1, slots=1)) == 1


async def test_a_freed_slot_is_kept_for_the_best_that_waits(engine: Process) -> None:
    """Two pools of one process: what the better one was granted, the other cannot take."""
    low, high = Asker(engine, model="slow"), Asker(engine, model="fast")
    high.backend = low.backend
    (held,) = await low.granted(1, slots=1)
    assert waits(await low.ask(low.want(slots=1, rank=2)))
    assert waits(await high.ask(high.want(slots=1, rank=0)))
    await low.limits.settle([Spent(held)])
    assert waits(await low.ask(low.want(slots=1, rank=2)))
    assert isinstance(await high.ask(high.want(slots=1, rank=0)), Granted)


async def test_inside_a_class_the_earliest_due_is_granted_first(engine: Process) -> None:
    late, soon = Asker(engine, model="late"), Asker(engine, model="soon")
    soon.backend = late.backend
    (held,) = await late.granted(1, slots=1)
    assert waits(await late.ask(late.want(slots=1, due=200.0)))
    assert waits(await soon.ask(soon.want(slots=1, due=100.0)))
    await late.limits.settle([Spent(held)])
    assert waits(await late.ask(late.want(slots=1, due=200.0)))
    assert isinstance(await soon.ask(soon.want(slots=1, due=100.0)), Granted)


async def test_one_that_overtakes_is_granted_with_the_rank_of_those_it_goes_before(
    engine: Process,
) -> None:
    high, owed = Asker(engine, model="high"), Asker(engine, model="owed")
    owed.backend = high.backend
    (held,) = await high.granted(1, slots=1)
    assert waits(await high.ask(high.want(slots=1, rank=0, due=100.0)))
    assert waits(await owed.ask(owed.want(slots=1, rank=2, due=50.0, overtakes=0)))
    await high.limits.settle([Spent(held)])
    assert waits(await high.ask(high.want(slots=1, rank=0, due=100.0)))
    assert isinstance(await owed.ask(owed.want(slots=1, rank=2, due=50.0, overtakes=0)), Granted)


async def test_a_grant_that_is_not_used_passes_on(engine: Process) -> None:
    low, high = Asker(engine, model="slow"), Asker(engine, model="fast")
    high.backend = low.backend
    (held,) = await low.granted(1, slots=1)
    assert waits(await low.ask(low.want(slots=1, rank=2)))
    assert waits(await high.ask(high.want(slots=1, rank=0)))
    released = time.monotonic()
    await low.limits.settle([Spent(held)])

    async def passed_on() -> bool:
        return not waits(await low.ask(low.want(slots=1, rank=2)))

    await eventually(passed_on, 5)
    assert time.monotonic() - released >= 0.95


@two_processes
async def test_processes_share_the_slots(engine: Process, other: Process) -> None:
    one, two = Asker(engine), Asker(other)
    two.backend = one.backend
    tries = await asyncio.gather(
        *(asker.granted(1, slots=5) for _ in range(10) for asker in (one, two))
    )
    assert sum(map(len, tries)) == 5
    assert await one.held() == await two.held() == 5


@two_processes
async def test_grants_go_to_the_best_process_and_wake_it(engine: Process, other: Process) -> None:
    low, high = Asker(engine), Asker(other)
    high.backend = low.backend
    woken = asyncio.Event()
    high.limits.on_free(high.backend, woken.set)
    (held,) = await low.granted(1, slots=1)
    assert waits(await low.ask(low.want(slots=1, rank=3)))
    assert waits(await high.ask(high.want(slots=1, rank=1)))
    woken.clear()
    await low.limits.settle([Spent(held)])
    async with asyncio.timeout(2):
        await woken.wait()
    assert waits(await low.ask(low.want(slots=1, rank=3)))
    assert isinstance(await high.ask(high.want(slots=1, rank=1)), Granted)
