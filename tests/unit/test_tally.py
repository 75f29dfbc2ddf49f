"""What a door knows of a queue between two counts, and the lane that follows from it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.lanes import OPEN_WINDOW
from broker.scheduling.tally import Tally
from schemas.priority import Lane, Priority

HIGH, LOW = Priority.HIGH, Priority.LOW


def counted(tally: Tally, now: float, **tenants: int) -> None:
    """Let `tally` take a count of `low`."""
    tally.count({LOW: tenants} if tenants else {}, tally.added(), now)


def lanes(tally: Tally, count: int, now: float, tenant: str = "a") -> list[Lane]:
    return [tally.add(LOW, tenant, now) for _ in range(count)]


def test_a_tenant_floods_from_a_window_on() -> None:
    tally = Tally()
    counted(tally, 0.0)
    assert lanes(tally, OPEN_WINDOW, 0.0) == [Lane.OPEN] * OPEN_WINDOW
    assert tally.begins_to_flood(LOW, "a", 0.0)
    assert lanes(tally, 2, 0.0) == [Lane.FLOOD] * 2
    assert not tally.begins_to_flood(LOW, "a", 0.0), "it does so already"
    assert lanes(tally, 1, 0.0, tenant="b") == [Lane.OPEN], "another one is not touched"
    assert tally.add(HIGH, "a", 0.0) is Lane.OPEN, "nor its other classes"


@pytest.mark.parametrize(("left", "lane"), [(31, Lane.FLOOD), (16, Lane.FLOOD), (15, Lane.OPEN)])
def test_a_flood_lasts_until_it_has_drained_below_half(left: int, lane: Lane) -> None:
    tally = Tally()
    lanes(tally, 100, 0.0)
    counted(tally, 1.0, a=left)
    counted(tally, 2.0, a=left)
    assert lanes(tally, 1, 2.0) == [lane]


def test_a_count_that_was_never_above_the_window_is_no_flood() -> None:
    tally = Tally()
    counted(tally, 0.0, a=31)
    assert lanes(tally, 2, 0.0) == [Lane.OPEN, Lane.FLOOD]


def test_a_busy_tenant_whose_requests_start_at_once_does_not_flood() -> None:
    """700 come and go in a second; each count finds a few."""
    tally = Tally()
    counted(tally, 0.0)
    for second in range(5):
        found = [lanes(tally, 7, second + step / 100)[0] for step in range(100)]
        assert Lane.FLOOD not in found or second == 0
        counted(tally, second + 1.0, a=5)


def test_a_flood_is_seen_at_once_though_much_went_before() -> None:
    tally = Tally()
    counted(tally, 0.0)
    lanes(tally, 700, 0.5)
    counted(tally, 1.0, a=5)
    assert lanes(tally, 300, 1.1)[-1] is Lane.FLOOD


def test_what_goes_elsewhere_does_not_go_on_for_ever_without_a_count() -> None:
    tally = Tally()
    counted(tally, 0.0)
    lanes(tally, 100, 0.5)
    counted(tally, 1.0, a=0)
    assert lanes(tally, 400, 100.0)[-1] is Lane.FLOOD


def test_what_is_added_while_it_is_counted_stays_counted() -> None:
    tally = Tally()
    lanes(tally, 3, 0.0)
    added = tally.added()
    lanes(tally, 2, 0.1)
    tally.count({LOW: {"a": 3}}, added, 0.2)
    assert (tally.total, tally.queued) == (5, {LOW: {"a": 5}})
    counted(tally, 1.0, a=4)
    assert (tally.total, tally.queued) == (4, {LOW: {"a": 4}})


PLACES = st.tuples(st.sampled_from([HIGH, LOW]), st.sampled_from(["a", "b"]))
STEPS = st.lists(st.one_of(PLACES, st.dictionaries(PLACES, st.integers(1, 50))), max_size=200)


@given(steps=STEPS)
def test_it_is_the_last_count_and_all_that_was_added_since(steps: list[object]) -> None:
    tally, expected = Tally(), Counter[object]()
    for now, step in enumerate(steps):
        if isinstance(step, tuple):
            priority, tenant = step
            tally.add(priority, tenant, now)
            expected[step] += 1
        elif isinstance(step, dict):
            counts: dict[Priority, dict[str, int]] = {}
            for (priority, tenant), count in step.items():
                counts.setdefault(priority, {})[tenant] = count
            tally.count(counts, tally.added(), now)
            expected = Counter(step)
    found = {(p, t): count for p, line in tally.queued.items() for t, count in line.items()}
    assert found == dict(expected)
    assert tally.total == expected.total()
