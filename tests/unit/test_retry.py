"""What follows a failed attempt."""

from __future__ import annotations

import pytest

from broker.scheduling.retry import (
    RETRY_DELAY_S,
    AnotherReplica,
    Failure,
    GiveUp,
    Later,
    NextStep,
    failure_of_status,
    next_step,
)
from schemas.errors import TERMINAL_CODES


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, "REFUSED"),
        (401, "REFUSED"),
        (404, "REFUSED"),
        (422, "REFUSED"),
        (408, "BUSY"),
        (409, "BUSY"),
        (425, "BUSY"),
        (429, "BUSY"),
        (500, "BUSY"),
        (503, "BUSY"),
        (599, "BUSY"),
    ],
)
def test_classes_of_statuses(status: int, failure: str) -> None:
    assert failure_of_status(status) is Failure[failure]


@pytest.mark.parametrize(
    ("failure", "attempt", "untried", "tried", "expected"),
    [
        (Failure.REFUSED, 1, 5, 1, GiveUp("backend_failed", dead_letter=False)),
        (Failure.BUSY, 1, 1, 1, AnotherReplica()),
        (Failure.BUSY, 1, 0, 1, Later(RETRY_DELAY_S)),
        (Failure.UNREACHABLE, 2, 3, 2, Later(RETRY_DELAY_S)),
        (Failure.TIMED_OUT, 2, 3, 1, AnotherReplica()),
        (Failure.BUSY, 3, 3, 1, GiveUp("attempts_exhausted", dead_letter=True)),
        (Failure.UNREACHABLE, 4, 0, 1, GiveUp("attempts_exhausted", dead_letter=True)),
        (Failure.TIMED_OUT, 3, 0, 1, GiveUp("backend_timeout", dead_letter=True)),
        (Failure.UNUSABLE, 3, 0, 1, GiveUp("backend_invalid_response", dead_letter=True)),
    ],
)
def test_next_step(
    failure: Failure, attempt: int, untried: int, tried: int, expected: NextStep
) -> None:
    assert next_step(failure, attempt, 3, untried, tried) == expected


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_ends_with_a_documented_code(failure: Failure) -> None:
    step = next_step(failure, 3, 3, 0, 1)
    assert isinstance(step, GiveUp)
    assert step.code in TERMINAL_CODES
