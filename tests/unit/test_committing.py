"""Who may end a record."""

from __future__ import annotations

import pytest

from broker.scheduling.committing import commit_wins
from schemas.lifecycle import TERMINAL, Status

Q, R = Status.QUEUED, Status.IN_PROGRESS
OK, BAD, LATE = Status.COMPLETED, Status.FAILED, Status.EXPIRED


@pytest.mark.parametrize(
    ("found", "found_attempt", "result", "attempt", "wins"),
    [
        (None, 0, OK, 1, True),
        (None, 0, BAD, 1, True),
        (R, 2, OK, 2, True),
        (R, 2, OK, 3, True),
        (R, 2, OK, 1, False),
        (R, 2, BAD, 2, True),
        (R, 2, BAD, 3, False),
        (R, 2, BAD, 1, False),
        (R, 2, LATE, 2, True),
        (Q, 2, OK, 2, True),
        (Q, 2, OK, 1, False),
        (Q, 1, BAD, 2, True),
        (Q, 0, BAD, 0, True),
        (Q, 2, BAD, 1, False),
        (Q, 2, LATE, 2, True),
    ],
)
def test_the_table(
    found: Status | None, found_attempt: int, result: Status, attempt: int, wins: bool
) -> None:
    assert commit_wins(found, found_attempt, result, attempt) is wins


@pytest.mark.parametrize("found", sorted(TERMINAL))
@pytest.mark.parametrize("result", sorted(TERMINAL))
def test_an_end_is_final(found: Status, result: Status) -> None:
    assert not any(commit_wins(found, 1, result, attempt) for attempt in range(4))
