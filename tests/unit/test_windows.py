"""A pool gives back what it cannot start, and takes it again when it can."""

from __future__ import annotations

from broker.scheduling.keeping import HELD_UNSTARTED_S
from broker.scheduling.windows import STUCK_S, WINDOW_BYTES, GiveBack, Held, Windows
from schemas.priority import Priority

NOTHING = dict.fromkeys(Priority, Held(0, 0))
LOW_WAITS = {**NOTHING, Priority.LOW: Held(3, 30)}
LOW_IS_HEAVY = {**NOTHING, Priority.LOW: Held(9, WINDOW_BYTES + 1)}
ALL_OF_LOW = GiveBack(Priority.LOW, 0)


def test_a_class_stuck_behind_another_is_given_back_after_a_minute() -> None:
    windows = Windows()
    windows.look(LOW_WAITS, 0)
    windows.started(Priority.HIGH, STUCK_S - 1)
    assert windows.overdue(STUCK_S - 1) == []
    assert windows.overdue(STUCK_S) == [ALL_OF_LOW]


def test_a_start_of_its_own_keeps_it() -> None:
    windows = Windows()
    windows.look(LOW_WAITS, 0)
    windows.started(Priority.LOW, 30)
    windows.look(LOW_WAITS, 31)
    windows.started(Priority.HIGH, 80)
    assert windows.overdue(STUCK_S + 30) == []
    assert windows.overdue(STUCK_S + 31) == [ALL_OF_LOW]


def test_where_nothing_starts_it_is_held_for_a_third_of_the_consumer_timeout() -> None:
    windows = Windows()
    windows.look(LOW_WAITS, 0)
    assert windows.overdue(HELD_UNSTARTED_S - 1) == []
    assert windows.overdue(HELD_UNSTARTED_S) == [ALL_OF_LOW]


def test_what_has_gone_meanwhile_was_not_stuck() -> None:
    windows = Windows()
    windows.look(LOW_WAITS, 0)
    windows.look(NOTHING, 30)
    windows.look(LOW_WAITS, 40)
    windows.started(Priority.HIGH, 90)
    assert windows.overdue(STUCK_S + 39) == []


def test_it_is_taken_again_when_its_share_is_due_or_nothing_else_waits() -> None:
    windows = Windows()
    windows.give_back(Priority.LOW, due_at=1_000)
    assert Priority.LOW not in windows.consumed
    assert windows.ready(999, idle=False) == []
    assert windows.ready(1_000, idle=False) == [Priority.LOW]
    assert windows.ready(0, idle=True) == [Priority.LOW]
    windows.take_again(Priority.LOW)
    assert windows.ready(2_000, idle=True) == []
    assert Priority.LOW in windows.consumed


def test_it_is_given_back_once() -> None:
    windows = Windows()
    windows.look(LOW_WAITS, 0)
    windows.started(Priority.HIGH, STUCK_S)
    windows.give_back(Priority.LOW, due_at=float("inf"))
    windows.look(LOW_WAITS, STUCK_S)
    assert windows.overdue(2 * STUCK_S - 1) == []


def test_a_window_that_is_too_heavy_gives_back_half_until_that_has_gone() -> None:
    windows = Windows()
    windows.look(LOW_IS_HEAVY, 0)
    assert windows.overdue(0) == [GiveBack(Priority.LOW, WINDOW_BYTES // 2)]
    windows.give_back_half(Priority.LOW)
    windows.look({**NOTHING, Priority.LOW: Held(4, WINDOW_BYTES // 2)}, 1)
    assert windows.overdue(1) == []
    assert windows.ready(0, idle=False) == []
    windows.look({**NOTHING, Priority.LOW: Held(2, WINDOW_BYTES // 4 - 1)}, 2)
    assert windows.ready(0, idle=False) == [Priority.LOW]


def test_what_is_held_of_a_class_that_is_not_consumed_is_given_back_in_time_as_well() -> None:
    windows = Windows()
    windows.look(LOW_IS_HEAVY, 0)
    windows.give_back_half(Priority.LOW)
    windows.look({**NOTHING, Priority.LOW: Held(4, WINDOW_BYTES // 2)}, 1)
    windows.started(Priority.HIGH, HELD_UNSTARTED_S)
    assert windows.overdue(HELD_UNSTARTED_S) == [ALL_OF_LOW]
