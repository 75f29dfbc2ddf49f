"""The window on a waiting line: bounded, in order, nothing twice, nothing forgotten."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.embedded.rows import Key
from broker.embedded.window import Window


def key(number: int, generation: int = 0) -> Key:
    return Key(float(number), number, f"r{number}", generation)


def filled(window: Window, numbers: range) -> None:
    asked = window.begin_refill()
    window.refill([key(number) for number in numbers][:asked], asked)


def test_it_holds_no_more_than_its_capacity_and_knows_that_there_is_more() -> None:
    window = Window(4)
    filled(window, range(10))
    assert (len(window), window.complete) == (4, False)
    assert window.take(10) == [key(number) for number in range(4)]


def test_it_is_complete_when_the_file_had_no_more() -> None:
    window = Window(4)
    filled(window, range(3))
    assert (len(window), window.complete) == (3, True)


def test_what_comes_during_a_refill_leaves_it_incomplete() -> None:
    window = Window(4)
    asked = window.begin_refill()
    window.complete = False
    window.refill([key(1)], asked)
    assert not window.complete


def test_a_requeued_copy_takes_its_old_place() -> None:
    window = Window(4)
    filled(window, range(3))
    [first] = window.take(1)
    window.settle((first.id, 0))
    window.offer(first)
    assert window.take(1) == [first]


def test_an_older_one_pushes_the_youngest_out_of_a_full_window() -> None:
    window = Window(3)
    filled(window, range(1, 4))
    window.offer(key(0))
    assert (len(window), window.complete) == (3, False)
    assert window.take(3) == [key(0), key(1), key(2)]


def test_one_beyond_an_incomplete_window_stays_in_the_file() -> None:
    window = Window(3)
    filled(window, range(10))
    window.offer(key(8))
    assert window.take(9) == [key(0), key(1), key(2)]


def test_an_empty_window_that_is_not_complete_leaves_a_newcomer_in_the_file() -> None:
    """An older one may be there: the newcomer would be served before it."""
    window = Window(3)
    window.offer(key(2))
    assert window.take(1) == []
    filled(window, range(1, 3))
    assert window.take(2) == [key(1), key(2)]


def test_a_newer_generation_is_another_copy() -> None:
    window = Window(3)
    filled(window, range(1))
    window.take(1)
    window.offer(key(0, generation=1))
    assert window.take(1) == [key(0, generation=1)]
    assert sorted(window.held) == [("r0", 0), ("r0", 1)]


def test_a_copy_that_is_out_is_not_read_again_and_may_come_back() -> None:
    window = Window(3)
    filled(window, range(2))
    window.take(1)
    filled(window, range(2))
    assert window.take(3) == [key(1)]
    assert window.come_back(("r0", 0), at=7.0)
    assert not window.come_back(("r9", 0), at=7.0)
    assert window.settle(("r0", 0)) == 7.0
    assert window.settle(("r1", 0)) is None


class WindowOverAFile(RuleBasedStateMachine):
    """A file of waiting keys and a window on it: every key is handed over, once at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(3)
        self.file: set[Key] = set()
        self.out: set[Key] = set()

    @rule(number=st.integers(0, 12), generation=st.integers(0, 1))
    def comes_to_wait(self, number: int, generation: int) -> None:
        new = key(number, generation)
        if new not in self.out:
            self.file.add(new)
            self.window.offer(new)

    @rule(count=st.integers(1, 4))
    def serves(self, count: int) -> None:
        if len(self.window) < count and not self.window.complete:
            asked = self.window.begin_refill()
            self.window.refill(sorted(self.file)[:asked], asked)
        taken = self.window.take(count)
        assert not self.out.intersection(taken)
        waiting = sorted(self.file - self.out)
        assert taken == waiting[: len(taken)], "the oldest first"
        assert len(taken) == min(count, len(waiting), 3)
        self.out.update(taken)

    @rule(requeued=st.booleans(), data=st.data())
    def settles(self, requeued: bool, data: st.DataObject) -> None:
        if not self.out:
            return
        settled = data.draw(st.sampled_from(sorted(self.out)))
        self.out.remove(settled)
        self.window.settle((settled.id, settled.generation))
        if requeued:
            self.window.offer(settled)
        else:
            self.file.discard(settled)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.window) <= 3
        assert sorted(self.window.held) == sorted((one.id, one.generation) for one in self.out)


TestWindowOverAFile = WindowOverAFile.TestCase
TestWindowOverAFile.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
