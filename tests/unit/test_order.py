"""Who goes next: class first but for the shares, then turns, then due; and nobody is lost."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.scheduling.order import Order
from broker.scheduling.shares import ClassShare
from schemas.priority import RANK, Priority
from tests.fakes.tickets import SHARES, Ticket, one_weight, tickets

# Others may be using the machine.
unhurried = settings(deadline=None)

LATE = 10 * 86_400.0


def order_of(*waiting: Ticket) -> Order[Ticket]:
    order: Order[Ticket] = Order(SHARES, one_weight)
    for ticket in waiting:
        order.add(ticket)
    return order


def taken_one_by_one(order: Order[Ticket], now: float) -> list[Ticket]:
    taken: list[Ticket] = []
    while len(order):
        taken += order.take(1, now)
    return taken


@unhurried
@given(st.lists(tickets, max_size=60), st.integers(1, 10), st.sampled_from([0.0, 50.0, LATE]))
def test_all_are_taken_and_each_once(waiting: list[Ticket], count: int, now: float) -> None:
    order = order_of(*waiting)
    taken: list[Ticket] = []
    while len(order):
        some = order.take(count, now)
        assert 1 <= len(some) <= count
        taken += some
        order.put_back([])
    assert Counter(map(id, taken)) == Counter(map(id, waiting))


@unhurried
@given(st.lists(tickets, max_size=60))
def test_while_nobody_is_late_a_higher_class_goes_first(waiting: list[Ticket]) -> None:
    ranks = [RANK[ticket.priority] for ticket in order_of(*waiting).take(len(waiting), now=0.0)]
    assert ranks == sorted(ranks)


@unhurried
@given(st.lists(tickets, max_size=40), st.integers(1, 7), st.sampled_from([0.0, 50.0, LATE]))
def test_how_many_are_taken_at_once_changes_nothing(
    waiting: list[Ticket], count: int, now: float
) -> None:
    by_some, one_by_one = order_of(*waiting), order_of(*waiting)
    taken: list[Ticket] = []
    while len(by_some):
        taken += by_some.take(count, now)
    assert taken == taken_one_by_one(one_by_one, now)


@unhurried
@given(
    st.lists(tickets, max_size=30),
    st.lists(st.integers(1, 5), max_size=4),
    st.lists(st.tuples(st.integers(1, 32), st.sets(st.integers(0, 31))), max_size=4),
    st.sampled_from([0.0, 50.0, LATE]),
)
def test_what_is_put_back_was_never_taken(
    waiting: list[Ticket],
    before: list[int],
    attempts: list[tuple[int, set[int]]],
    now: float,
) -> None:
    """Part of a take starts, part of it comes back: as though only that part had been taken."""
    tried, plain = order_of(*waiting), order_of(*waiting)
    for count in before:
        assert tried.take(count, now) == plain.take(count, now)
    for count, _ in attempts:
        tried.put_back(tried.take(count, now))
    for count, _ in attempts:
        taken = tried.take(count, now)
        started = len(taken) // 2
        tried.put_back(taken[started:])
        assert plain.take(started, now) == taken[:started]
    assert len(tried) == len(plain)
    assert taken_one_by_one(tried, now) == taken_one_by_one(plain, now)


@unhurried
@given(st.lists(tickets, max_size=30), st.integers(1, 32), st.randoms(use_true_random=False))
def test_it_may_be_put_back_in_any_order(waiting: list[Ticket], count: int, random: Random) -> None:
    tried, plain = order_of(*waiting), order_of(*waiting)
    taken = tried.take(count, LATE)
    random.shuffle(taken)
    tried.put_back(taken)
    assert taken_one_by_one(tried, LATE) == taken_one_by_one(plain, LATE)


def test_what_leaves_for_elsewhere_is_not_charged() -> None:
    order = order_of(*[Ticket(tenant=name, due=due) for due, name in enumerate("aaab")])
    for _ in range(2):
        (parked,) = order.take(1, 0.0)
        assert parked.tenant == "a"
        order.leave([parked])
        order.put_back([])
    assert [ticket.tenant for ticket in order.take(2, 0.0)] == ["a", "b"]


def test_what_leaves_uses_no_share() -> None:
    order = order_of(*[Ticket(Priority.LOW, due=due) for due in range(9)])
    for due in range(99):
        order.add(Ticket(Priority.HIGH, due=due))
    taken = order.take(17, LATE)
    assert taken[-1].priority is Priority.LOW
    order.leave(taken[-1:])
    order.put_back([])
    assert order.take(1, LATE)[0].priority is Priority.LOW


def test_one_that_is_owed_a_start_asks_for_a_slot_like_the_one_it_overtakes() -> None:
    order = order_of(Ticket(Priority.LOW), *[Ticket(Priority.HIGH, due=due) for due in range(99)])
    taken = order.take(20, LATE)
    assert taken[16].priority is Priority.LOW
    assert {order.place(ticket)[0] for ticket in taken} == {RANK[Priority.HIGH]}


def test_processes_take_turns_but_a_tenant_that_came_back_goes_first() -> None:
    order = order_of(*[Ticket(due=due) for due in range(9)])
    order.take(1, now=50.0)
    order.put_back([])
    order.add(Ticket(tenant="quiet"))
    quiet, flood, late = order.take(3, now=60.0)
    assert order.place(quiet) == (RANK[Priority.NORMAL], 0.0)
    assert order.place(flood) == (RANK[Priority.NORMAL], 50.0)
    order.put_back([flood, late])
    assert order.place(order.take(1, now=61.0)[0]) == (RANK[Priority.NORMAL], 60.0)


def test_what_another_order_gave_out_is_taken_in() -> None:
    order, other = order_of(), order_of(Ticket())
    order.put_back(other.take(1, 0.0))
    assert len(order) == 1


@unhurried
@given(st.lists(tickets, max_size=40))
def test_a_class_can_be_dropped_and_nobody_pays(waiting: list[Ticket]) -> None:
    order, untouched = order_of(*waiting), order_of(*waiting)
    dropped = order.drop(Priority.NORMAL)
    assert order.waiting(Priority.NORMAL) == 0
    assert dropped == [t for t in untouched.take(99, 0.0) if t.priority is Priority.NORMAL]
    assert {id(ticket) for ticket in [*dropped, *order.empty()]} == set(map(id, waiting))
    assert len(order) == 0
    for ticket in waiting:
        order.add(ticket)
    assert [t.priority for t in order.empty()] == sorted(
        (t.priority for t in waiting), key=RANK.__getitem__
    )


@unhurried
@given(st.lists(tickets, max_size=40), st.integers(0, 20))
def test_the_oldest_of_a_class_is_known(waiting: list[Ticket], count: int) -> None:
    order = order_of(*waiting)
    order.put_back(order.take(count, 0.0)[1:])
    order.put_back(order.take(count, 0.0))
    left = set(map(id, order.empty()))
    order.put_back([ticket for ticket in waiting if id(ticket) in left])
    for priority in Priority:
        ages = [t.accepted_at for t in waiting if id(t) in left and t.priority is priority]
        assert order.oldest(priority) == min(ages, default=None)
        assert order.waiting(priority) == len(ages)


def saturate(starts: int, batch: int, shares: dict[Priority, ClassShare]) -> Counter[Priority]:
    """Start `starts` where every class always has two waiting; return the starts by class."""
    order: Order[Ticket] = Order(shares, one_weight)
    numbers = itertools.count()
    for priority in Priority:
        for _ in range(batch + 1):
            order.add(Ticket(priority, tenant=str(next(numbers) % 3)))
    started: Counter[Priority] = Counter()
    while started.total() < starts:
        taken = order.take(batch, LATE)
        begun = taken[: max(1, len(taken) // 3)]
        order.put_back(taken[len(begun) :])
        for ticket in begun:
            started[ticket.priority] += 1
            order.add(Ticket(ticket.priority, tenant=str(next(numbers) % 3)))
    return started


@pytest.mark.parametrize("batch", [1, 32])
def test_under_saturation_each_class_gets_its_reserved_share(batch: int) -> None:
    started = saturate(4_000, batch, SHARES)
    for priority, share in SHARES.items():
        assert started[priority] / started.total() == pytest.approx(share.share, rel=0.1)


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.floats(0.02, 0.3)] * 3))
def test_any_shares_are_kept(shares: tuple[float, float, float]) -> None:
    owed = {each: ClassShare(share, 1.0) for each, share in zip(SHARES, shares, strict=True)}
    started = saturate(1_000, 4, owed)
    for priority, share in owed.items():
        assert started[priority] / started.total() == pytest.approx(share.share, abs=0.005)


def test_high_waits_for_nobody_who_is_not_late() -> None:
    order = order_of(*[Ticket(Priority.LOW, accepted_at=0.0, due=number) for number in range(99)])
    for turn in range(50):
        high = Ticket(Priority.HIGH, accepted_at=turn, due=turn)
        order.add(high)
        assert order.take(1, now=SHARES[Priority.LOW].target_wait_s) == [high]


@unhurried
@given(st.integers(0, 200))
def test_high_waits_for_one_start_of_each_late_class_at_most(idle_starts: int) -> None:
    """However long `low` was served alone or was late, it has saved nothing up."""
    order = order_of(
        *[Ticket(Priority.LOW, due=number) for number in range(300)],
        *[Ticket(Priority.BATCH, due=number) for number in range(300)],
    )
    order.take(idle_starts, LATE)
    order.add(high := Ticket(Priority.HIGH))
    assert high in order.take(3, LATE)


def test_a_class_that_is_not_late_is_owed_nothing() -> None:
    order = order_of(Ticket(Priority.LOW, accepted_at=0.0))
    for number in range(100):
        order.add(Ticket(Priority.HIGH, due=number))
    assert all(ticket.priority is Priority.HIGH for ticket in order.take(40, now=600.0))
    assert order.take(16, now=600.1)[-1].priority is Priority.HIGH
    assert order.take(1, now=600.2)[0].priority is Priority.LOW
