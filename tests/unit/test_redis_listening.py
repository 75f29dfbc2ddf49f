"""What a reader of a stream hears: never past something that it did not hear."""

from __future__ import annotations

import pytest

from broker.ports.events import Chunk
from broker.redis_store.listening import Listening


def heard(*numbers: int) -> Listening:
    listening = Listening()
    listening.missed = False
    for number in numbers:
        listening.hear([Chunk(number, 1, b"data: x")])
    return listening


@pytest.mark.parametrize(
    ("numbers", "told", "missed"),
    [
        ((5, 6, 7), [5, 6, 7], False),
        ((3, 4, 5), [5], False),
        ((3, 4), [], False),
        ((6, 7), [], True),
        ((5, 6, 8, 9), [5, 6], True),
    ],
)
def test_it_is_told_as_far_as_nothing_is_left_out(
    numbers: tuple[int, ...], told: list[int], missed: bool
) -> None:
    listening = heard(*numbers)
    assert [each.number for each in listening.take(4)] == told
    assert listening.missed is missed
