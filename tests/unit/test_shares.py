"""When a request is due, and what a late class is owed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.scheduling.shares import ClassShare, Credits, due_of
from schemas.priority import Priority
from tests.fakes.tickets import SHARES

# Others may be using the machine.
unhurried = settings(deadline=None)


@pytest.mark.parametrize(
    ("priority", "due"),
    [
        (Priority.HIGH, 101.0),
        (Priority.NORMAL, 130.0),
        (Priority.LOW, 700.0),
        (Priority.BATCH, 86_500.0),
    ],
)
def test_due_is_after_the_target_wait_of_the_class(priority: Priority, due: float) -> None:
    assert due_of(priority, 100.0, 1e9, 3.0, SHARES) == due


def test_a_deadline_makes_it_due_earlier_by_the_time_it_takes() -> None:
    assert due_of(Priority.LOW, 100.0, 200.0, 3.0, SHARES) == 197.0


def test_every_class_below_high_is_owed_a_share() -> None:
    assert {priority: each.share for priority, each in SHARES.items()} == {
        Priority.NORMAL: 1 / 8,
        Priority.LOW: 1 / 16,
        Priority.BATCH: 1 / 32,
    }


def credits_of(share: float) -> Credits:
    return Credits({Priority.LOW: ClassShare(share, 1.0)})


@unhurried
@given(st.floats(0.01, 1.0), st.integers(0, 1_000))
def test_a_late_class_is_owed_little_however_long_it_was_late(share: float, starts: int) -> None:
    owed = credits_of(share)
    for _ in range(starts):
        owed.start(Priority.HIGH, [Priority.LOW])
    for _ in range(2):
        owed.start(Priority.LOW, [])
    assert owed.first([Priority.LOW]) is None


def test_an_ordinary_start_counts_towards_the_share() -> None:
    owed = credits_of(0.5)
    owed.start(Priority.HIGH, [Priority.LOW])
    owed.start(Priority.LOW, [Priority.LOW])
    assert owed.first([Priority.LOW]) is None
    for _ in range(2):
        owed.start(Priority.HIGH, [Priority.LOW])
    assert owed.first([Priority.LOW]) is Priority.LOW


def test_what_is_owed_is_forgotten_once_it_is_not_late() -> None:
    owed = credits_of(1.0)
    owed.start(Priority.HIGH, [Priority.LOW])
    assert owed.first([]) is None
    owed.start(Priority.HIGH, [])
    assert owed.first([Priority.LOW]) is None


def test_the_class_that_is_owed_most_goes_first() -> None:
    owed = Credits({Priority.NORMAL: ClassShare(0.5, 1), Priority.LOW: ClassShare(0.6, 1)})
    late = [Priority.NORMAL, Priority.LOW]
    for _ in range(2):
        owed.start(Priority.HIGH, late)
    assert owed.first(late) is Priority.LOW
