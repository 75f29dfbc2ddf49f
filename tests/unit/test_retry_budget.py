"""Retries are at most a fifth of a backend's calls, or the floor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.retry_budget import FLOOR, SHARE, WINDOW_S, RetryBudget


def test_a_backend_that_is_rarely_called_has_the_floor() -> None:
    budget = RetryBudget()
    for _ in range(FLOOR):
        assert budget.holds(0)
        budget.retried(0)
    assert not budget.holds(0)
    assert not budget.holds(WINDOW_S - 0.1)
    assert budget.holds(WINDOW_S + 1)


def test_beyond_the_floor_it_is_a_fifth_of_the_calls_of_the_last_minute() -> None:
    budget = RetryBudget()
    for number in range(1_000):
        budget.called(number / 50)
    granted = 0
    while budget.holds(20):
        budget.retried(20)
        granted += 1
    assert granted == SHARE * 1_000


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=300))
def test_what_it_grants_in_any_minute_stays_within_the_share(
    happenings: list[tuple[float, bool]],
) -> None:
    budget, now = RetryBudget(), 0.0
    calls: list[float] = []
    granted: list[float] = []
    for pause, is_retry in happenings:
        now += pause
        if is_retry and budget.holds(now):
            budget.retried(now)
            granted.append(now)
            # Seconds are whole in the books, so the window may reach one second further back.
            recent = sum(at > now - WINDOW_S - 1 for at in calls)
            counted = sum(at > now - WINDOW_S + 1 for at in granted)
            assert counted <= max(FLOOR, SHARE * recent)
        elif not is_retry:
            budget.called(now)
            calls.append(now)
