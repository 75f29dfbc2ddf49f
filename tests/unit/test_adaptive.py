"""The adaptive limit on a virtual clock: always within bounds, and near any capacity it meets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.virtual_replica import Capacity, Mode, simulate
from broker.scheduling.adaptive import AdaptiveLimit

AIM, MOST_REFUSED = 0.9, 0.01

happenings = st.lists(
    st.tuples(
        st.booleans(),
        st.floats(0, 5),  # seconds since the last one
        st.floats(0, 20),  # seconds since the call began
        st.integers(1, 100),  # in flight
        st.none() | st.integers(0, 10_000),  # output tokens
        st.floats(0, 600),  # pause
    ),
    max_size=400,
)


@given(st.integers(1, 50), st.integers(0, 50), happenings)
def test_whatever_happens_it_stays_within_its_bounds(
    low: int, more: int, heard: list[tuple[bool, float, float, int, int | None, float]]
) -> None:
    limit, now = AdaptiveLimit(low, low + more), 0.0
    for answered, passed, took, in_flight, tokens, pause_s in heard:
        now += passed
        if answered:
            limit.answered(now - took, now, in_flight, "m", tokens)
        else:
            limit.refused(now - took, now, in_flight, pause_s)
        assert low <= limit.limit <= low + more


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 64), st.integers(0, 2**16), st.floats(0.05, 0.5))
def test_it_finds_any_capacity_and_is_rarely_refused(
    capacity: int, seed: int, service_s: float
) -> None:
    report = simulate([Capacity(120, capacity)], Mode.REFUSES, 2, 64, service_s, seed=seed)
    (phase,) = report
    assert phase.settled_share >= AIM
    assert phase.refused_share < MOST_REFUSED


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("processes", [1, 4])
def test_a_capacity_that_halves_and_doubles_is_followed_within_a_minute(
    mode: Mode, processes: int
) -> None:
    phases = [Capacity(60, 40), Capacity(60, 20), Capacity(60, 40)]
    for phase in simulate(phases, mode, 2, 200, 0.5, processes=processes):
        assert phase.reached_after_s is not None
        assert phase.reached_after_s <= 60, phase
        assert phase.settled_share >= AIM, phase
        assert phase.refused_share < MOST_REFUSED, phase


@pytest.mark.parametrize("seed", range(5))
def test_a_replica_that_only_slows_down_is_not_buried(seed: int) -> None:
    """It is kept busy at about twice its capacity: calls take twice as long there, not more."""
    phases = [Capacity(60, 40), Capacity(60, 20), Capacity(60, 40)]
    for phase in simulate(phases, Mode.SLOWS, 2, 200, 0.5, seed=seed):
        assert phase.settled_share >= 0.95, phase
        assert phase.stretch < 3, phase


def test_a_limit_that_is_not_reached_does_not_grow() -> None:
    limit, now = AdaptiveLimit(4, 100), 0.0
    for _ in range(500):
        now += 1
        limit.answered(now - 0.5, now, 1, "m", 100)
    assert limit.limit == 4


def test_of_the_refusals_of_one_round_trip_one_counts() -> None:
    limit = _grown(64)
    for _ in range(50):
        limit.refused(began=0.0, now=1_000.0, in_flight=64)
    assert limit.limit == 63
    limit.refused(began=1_000.0, now=1_000.1, in_flight=63)
    assert 50 < limit.limit < 60


def test_longer_outputs_are_no_strain() -> None:
    limit, now = _grown(64), 1_000.0
    for tokens in [10] * 500 + [4_000] * 500:
        now += 1
        limit.answered(now - tokens * 0.02, now, 64, "m", tokens)
    assert limit.limit == 64


def test_calls_that_all_become_slow_shrink_it() -> None:
    limit, now = _grown(64), 1_000.0
    for seconds in [1.0] * 200 + [5.0] * 200:
        now += seconds
        limit.answered(now - seconds, now, 64, "m", 100)
    assert limit.limit < 64


def test_what_is_slow_for_another_reason_becomes_the_measure() -> None:
    """Fewer calls have not made it faster, so that it is not the number of calls."""
    limit, now = _grown(64), 1_000.0
    for seconds in [1.0] * 200 + [5.0] * 2_000:
        now += seconds
        limit.answered(now - seconds, now, limit.limit, "m", 100)
    assert limit.limit == 64


def test_one_call_that_hung_shrinks_nothing() -> None:
    limit, now = _grown(64), 1_000.0
    for seconds in [1.0] * 200 + [500.0] + [1.0] * 50:
        now += seconds
        limit.answered(now - seconds, now, 64, "m", 100)
    assert limit.limit == 64


def test_new_bounds_hold_at_once() -> None:
    limit = _grown(64)
    limit.bound(2, 10)
    assert limit.limit == 10
    limit.bound(20, 40)
    assert limit.limit == 20


def _grown(most: int) -> AdaptiveLimit:
    limit, now = AdaptiveLimit(2, most), 0.0
    while limit.limit < most:
        now += 1
        limit.answered(now - 0.5, now, limit.limit, "m", None)
    return limit
