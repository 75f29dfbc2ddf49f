"""A pool asks a full backend for few starts and a free one for many."""

from __future__ import annotations

from workers.asked import MOST, Asked


def test_a_full_backend_is_asked_for_about_what_it_grants() -> None:
    pace = Asked()["b"]
    assert pace.size == MOST
    pace.answered(3, all_granted=False)
    assert pace.size == 6
    for _ in range(5):
        pace.answered(0, all_granted=False)
    assert pace.size == 2


def test_a_free_one_is_asked_for_twice_as_many_each_time() -> None:
    pace = Asked()["b"]
    pace.answered(0, all_granted=False)
    sizes = []
    for _ in range(5):
        pace.answered(pace.size, all_granted=True)
        sizes.append(pace.size)
    assert sizes == [4, 8, 16, 32, MOST]


def test_a_limit_that_stops_a_class_stops_no_higher_one_that_comes() -> None:
    pace = Asked()["b"]
    pace.closed_until, pace.closed_from = 100.0, 2
    pace.came(2)
    assert pace.closed_until == 100.0
    pace.came(1)
    assert pace.closed_until == 0.0
