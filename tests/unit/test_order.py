"""Who goes next: class first, then the oldest, and nobody is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.order import Order
from schemas.priority import RANK, Priority


@dataclass(frozen=True)
class Ticket:
    priority: Priority
    accepted_at: float


tickets = st.lists(st.builds(Ticket, st.sampled_from(Priority), st.floats(0, 100)), max_size=60)


@given(tickets, st.integers(1, 10))
def test_the_best_are_taken_first_and_all_are_taken(waiting: list[Ticket], count: int) -> None:
    order: Order[Ticket] = Order()
    for ticket in waiting:
        order.add(ticket)
    taken: list[Ticket] = []
    while len(order):
        some = order.take(count)
        assert 1 <= len(some) <= count
        taken += some
    assert taken == sorted(waiting, key=lambda t: (RANK[t.priority], t.accepted_at))


@given(tickets, st.integers(0, 10))
def test_what_could_not_start_goes_back_to_its_place(waiting: list[Ticket], count: int) -> None:
    order: Order[Ticket] = Order()
    for ticket in waiting:
        order.add(ticket)
    for ticket in order.take(count):
        order.add(ticket)
    left = order.empty()
    assert [(t.priority, t.accepted_at) for t in left] == sorted(
        ((t.priority, t.accepted_at) for t in waiting), key=lambda pair: (RANK[pair[0]], pair[1])
    )
