"""A batch is fed by its share, never stands still for want of room, and writes parts in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.batches import pacing

windows = st.integers(1, 100_000)


@given(windows, st.integers(1, 5_000), st.none() | st.integers(1, 10_000_000))
def test_what_a_tenants_batches_share(window: int, running: int, max_queued: int | None) -> None:
    own = pacing.share(window, running, max_queued)
    assert 1 <= own <= window
    if own > 1:
        assert own * running <= 2 * window
        assert max_queued is None or own * running <= max_queued / 2


@given(windows, st.integers(1, 100))
def test_one_batch_alone_has_the_whole_window(window: int, more: int) -> None:
    assert pacing.share(window, 1, None) == pacing.share(window, 2, None) == window
    assert pacing.share(window, 2 + more, None) <= window


@given(windows, st.data())
def test_what_is_fed_keeps_within_the_share_and_the_window(
    window: int, data: st.DataObject
) -> None:
    own = data.draw(st.integers(1, window))
    ungathered = data.draw(st.integers(0, window))
    unended = data.draw(st.integers(0, ungathered))
    free = pacing.room(own, window, unended, ungathered)
    assert 0 <= free <= pacing.FED_AT_ONCE
    assert not free or (unended + free <= own and ungathered + free <= window)


@given(windows, st.data())
def test_once_all_have_ended_there_is_room_or_what_is_gathered_is_due(
    window: int, data: st.DataObject
) -> None:
    own = data.draw(st.integers(1, window))
    gathered = data.draw(st.integers(0, window))
    assert pacing.room(own, window, 0, gathered) or pacing.is_due(
        gathered, 0, 0.0, 1_000_000, window, pacing.MIB
    )


@given(windows, st.integers(1, 10**6), st.integers(1, 10**7), st.integers(0, 10**6))
def test_a_part_is_written_when_it_is_large_or_half_a_minute_old(
    window: int, lines: int, size: int, parts: int
) -> None:
    assert pacing.is_due(lines, pacing.MIB, 0.0, parts, window, pacing.MIB)
    assert pacing.is_due(lines, size, 30.0, parts, window, pacing.MIB)
    assert not pacing.is_due(0, 0, 30.0, parts, window, pacing.MIB)


def test_parts_are_written_less_often_the_more_there_are() -> None:
    def due(age_s: float, parts: int) -> bool:
        return pacing.is_due(1, 10, age_s, parts, 1_000, pacing.MIB)

    assert due(1.0, 0)
    assert not due(0.9, 0)
    assert due(10.0, 1_000)
    assert not due(9.0, 1_000)


@given(st.integers(0, 100_000))
def test_a_process_with_many_runs_holds_no_more_of_them(runs: int) -> None:
    size = pacing.part_bytes(runs)
    assert 64 * 1024 <= size <= pacing.MIB
    assert size == 64 * 1024 or runs * size <= 64 * pacing.MIB


def test_looks_become_rarer_while_nothing_ends() -> None:
    pause = pacing.next_pause(9.9, found=True, runs=1)
    assert pause == pacing.next_pause(0.0, found=False, runs=1) == 0.05
    pauses = [pause := pacing.next_pause(pause, found=False, runs=1) for _ in range(10)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.2
    assert pacing.next_pause(100.0, found=False, runs=400) == 2.0


@given(st.floats(0, 1e5), st.integers(0, 10**5), st.floats(0, 1e5))
def test_a_rate_lies_between_what_was_and_what_came(last: float, lines: int, took: float) -> None:
    now = lines / max(took, 0.001)
    rate = pacing.next_rate(last, lines, took)
    assert min(last, now) - 1e-6 <= rate <= max(last, now) + 1e-6
    assert took < 10 or abs(rate - now) < 1e-6
