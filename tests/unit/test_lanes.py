"""A tenant that floods waits apart until it has drained."""

from __future__ import annotations

import pytest

from broker.scheduling.lanes import next_lane
from schemas.priority import Lane


@pytest.mark.parametrize(
    ("last", "queued", "lane"),
    [
        (Lane.OPEN, 0, Lane.OPEN),
        (Lane.OPEN, 31, Lane.OPEN),
        (Lane.OPEN, 32, Lane.FLOOD),
        (Lane.FLOOD, 31, Lane.FLOOD),
        (Lane.FLOOD, 16, Lane.FLOOD),
        (Lane.FLOOD, 15, Lane.OPEN),
    ],
)
def test_the_lane_follows_what_waits(last: Lane, queued: int, lane: Lane) -> None:
    assert next_lane(last, queued) is lane
