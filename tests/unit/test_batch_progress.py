"""What a run knows of its batch: how much waits, and in which lane the next line does."""

from __future__ import annotations

from dataclasses import replace

from schemas.batches import Counts, Cursor
from schemas.priority import Lane
from tests.fakes.batches import make_batch
from workers.batches.progress import Progress


def test_a_run_goes_on_from_what_is_durable() -> None:
    """A crash has left forty lines made that the cursor does not know of."""
    batch = replace(make_batch(), made=140, fed=Cursor(100, 9, 100), counts=Counts(70, 50))
    progress = Progress(batch)
    assert (progress.unended, progress.ungathered) == (20, 20)
    progress.line_ended("m")
    assert (progress.unended, progress.ungathered, progress.ended) == (19, 20, 121)
    progress.lines_gathered(1)
    assert (progress.unended, progress.ungathered, progress.ended) == (19, 19, 121)


def test_a_model_floods_until_half_of_what_waits_for_it_has_ended() -> None:
    progress = Progress(make_batch())
    lanes = [progress.next_lane("busy") for _ in range(40)]
    assert lanes == [Lane.OPEN] * 32 + [Lane.FLOOD] * 8
    assert progress.next_lane("other") is Lane.OPEN
    for _ in range(25):
        progress.line_ended("busy")
    assert progress.next_lane("busy") is Lane.OPEN


def test_what_an_earlier_run_has_fed_is_no_room_for_more() -> None:
    progress = Progress(make_batch())
    progress.line_ended("m")
    assert [progress.next_lane("m") for _ in range(33)][-1] is Lane.FLOOD
