"""Booked turns: first come first served inside a class, a higher one never behind a lower."""

from __future__ import annotations

import heapq
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.ports import Answer, Cap, Granted, Rate, StartAt, Want
from broker.scheduling.reserving import Reserver
from broker.scheduling.turns import CapTurns, RateTurns

SLOT = Cap("gpu", 1_000_000, "a slot")
RANKS = st.integers(0, 3)
BOOKINGS = st.lists(st.tuples(RANKS, st.sampled_from([1.0, 2.5, 40.0])), min_size=1, max_size=25)


def a_want(request_id: str, rank: int, cost: float, per_minute: float = 60.0) -> Want:
    rate = Rate("tpm", per_minute, cost, "tpm", "tokens")
    return Want(request_id, "gpu", "m", rank, 0.0, 1e12, SLOT, own=(rate,))


def drained(now: float, per_minute: float = 60.0) -> Reserver:
    """Return a reserver whose bucket has just been emptied."""
    reserver = Reserver(lambda _: None)
    full = a_want("first", 0, per_minute, per_minute)
    assert isinstance(ask(reserver, full, now), Granted)
    return reserver


def ask(reserver: Reserver, want: Want, now: float) -> Answer:
    (answer,) = reserver.reserve([(want, f"me:1:{want.request_id}")], now)
    return answer


def booked_at(reserver: Reserver, want: Want, now: float) -> float:
    answer = ask(reserver, want, now)
    assert isinstance(answer, StartAt), answer
    return answer.at


@given(BOOKINGS)
def test_turns_of_a_class_are_told_in_the_order_they_were_booked(
    bookings: list[tuple[int, float]],
) -> None:
    reserver = drained(1_000.0)
    wants = [a_want(f"r{n}", rank, cost) for n, (rank, cost) in enumerate(bookings)]
    for want in wants:
        booked_at(reserver, want, 1_000.0)
    for rank in range(4):
        times = [booked_at(reserver, want, 1_000.0) for want in wants if want.rank == rank]
        assert times == sorted(times)


@given(BOOKINGS, RANKS, st.floats(1, 50))
def test_a_class_is_not_delayed_by_what_lower_ones_have_booked(
    bookings: list[tuple[int, float]], rank: int, cost: float
) -> None:
    mixed, alone = drained(1_000.0), drained(1_000.0)
    for n, (other, other_cost) in enumerate(bookings):
        want = a_want(f"r{n}", other, other_cost)
        booked_at(mixed, want, 1_000.0)
        if other <= rank:
            booked_at(alone, want, 1_000.0)
    new = a_want("new", rank, cost)
    assert abs(booked_at(mixed, new, 1_000.0) - booked_at(alone, new, 1_000.0)) < 1e-6


@given(BOOKINGS, st.data())
def test_what_is_given_up_was_never_asked(
    bookings: list[tuple[int, float]], data: st.DataObject
) -> None:
    """Those at the end of their class leave no trace, and the last to go leaves nothing at all."""
    with_more, without = drained(1_000.0), drained(1_000.0)
    more = data.draw(BOOKINGS)
    for n, (rank, cost) in enumerate(bookings):
        for reserver in (with_more, without):
            booked_at(reserver, a_want(f"r{n}", rank, cost), 1_000.0)
    for n, (rank, cost) in enumerate(more):
        booked_at(with_more, a_want(f"more{n}", rank, cost), 1_000.0)
    with_more.give_up(data.draw(st.permutations([f"more{n}" for n in range(len(more))])))
    for rank in range(4):
        new = a_want(f"new{rank}", rank, 3.0)
        times = [booked_at(reserver, new, 1_000.0) for reserver in (with_more, without)]
        assert abs(times[0] - times[1]) < 1e-6
    with_more.give_up([*(f"r{n}" for n in range(len(bookings))), *(f"new{n}" for n in range(4))])
    (rate,) = a_want("", 3, 1.0).own
    assert with_more.peek([rate], 3, 1_000.0) == drained(1_000.0).peek([rate], 3, 1_000.0)


def test_ten_thousand_are_served_in_booking_order_at_the_rate() -> None:
    """600 a minute: each comes back at the instant it was told, and never before its turn."""
    now, reserver = 1_000.0, Reserver(lambda _: None)
    wants = [a_want(f"r{n}", 1, 1.0, per_minute=600.0) for n in range(10_000)]
    coming = [(now, n, want) for n, want in enumerate(wants)]
    started: list[tuple[float, int]] = []
    asked = [0] * len(wants)
    while coming:
        at, n, want = heapq.heappop(coming)
        now = max(now, at)
        asked[n] += 1
        answer = ask(reserver, want, now)
        if isinstance(answer, StartAt):
            heapq.heappush(coming, (answer.at, n, want))
        else:
            assert isinstance(answer, Granted)
            started.append((now, n))
    assert [n for _, n in started] == list(range(10_000))
    assert max(asked) <= 3
    assert abs(started[-1][0] - 1_000.0 - (10_000 - 600) / 10) < 1
    for (sooner, _), (later, _) in pairwise(started[600:]):
        assert later - sooner > 0.1 - 1e-3


def test_a_booking_is_honoured_for_half_a_minute() -> None:
    for late_s, kept in ((29.0, True), (31.0, False)):
        reserver = drained(1_000.0)
        first, second = a_want("first in line", 1, 30.0), a_want("second", 1, 30.0)
        at = booked_at(reserver, first, 1_000.0)
        booked_at(reserver, second, 1_000.0)
        # Somebody else asks, so that time is noticed to have passed.
        ask(reserver, a_want("other", 3, 60.0), at + late_s)
        behind = reserver.peek(first.own, 1, at) - at
        assert (behind > 59) == kept


def test_what_starts_late_keeps_the_bucket_to_its_minute() -> None:
    """A burst that was booked and then held up does not come on top of what came after."""
    now, reserver = 1_000.0, Reserver(lambda _: None)
    full = Cap("gpu", 0, "a slot")
    rate = Rate("rpm", 600.0, 1, "rpm", "requests")
    wants = [Want(f"r{n}", "gpu", "m", 1, 0.0, 1e12, full, own=(rate,)) for n in range(900)]
    for want in wants:
        ask(reserver, want, now)
    free = [Want(w.request_id, "gpu", "m", 1, 0.0, 1e12, SLOT, own=(rate,)) for w in wants]
    answers = reserver.reserve([(want, f"me:1:{want.request_id}") for want in free], now + 29)
    assert sum(isinstance(answer, Granted) for answer in answers) == 600


def test_positions_after_holes_close_up_when_their_turn_comes() -> None:
    turns = RateTurns()
    for n in range(4):
        turns.book(1, f"r{n}", 10.0)
    turns.drop(1, "r0")
    assert turns.ahead(1, "r1") == 0
    turns.drop(1, "r2")
    assert turns.ahead(1, "r3") == 20
    turns.drop(1, "r1")
    assert turns.ahead(1, "r3") == 0
    assert turns.ahead(1, "new") == 10
    assert turns.ahead(2, "new") == 10
    assert turns.ahead(0, "new") == 0


def test_under_a_cap_only_those_whose_time_has_come_are_before_one() -> None:
    turns = CapTurns()
    for n, at in enumerate((100.0, 200.0, 300.0)):
        turns.book(1, f"r{n}", at)
    assert turns.ahead(1, "new") == 3
    assert turns.due_ahead(1, "new", 250.0) == 2
    assert turns.due_ahead(1, "r1", 250.0) == 1
    assert turns.due_ahead(0, "new", 250.0) == 0
    turns.book(1, "r0", 400.0)
    assert turns.due_ahead(1, "r1", 250.0) == 0
    turns.drop(1, "r1")
    assert (len(turns), turns.ahead(2, "new")) == (2, 2)
