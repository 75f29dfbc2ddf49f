"""The claim's table as a pure function: every row, and what must hold for all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.claims import Claim, Done, Early, Late, Run, Running
from broker.scheduling.claiming import (
    EARLY_TOLERANCE_S,
    Claimant,
    Found,
    decide_claim,
    decide_take_over,
)
from schemas.lifecycle import TERMINAL, Status
from tests.fakes.envelopes import make_envelope

NOW, DEADLINE, RETENTION_S = 1_000.0, 2_000.0, 500.0
ME = Claimant("me:1", "slot-1")
MESSAGE = make_envelope(accepted_at=900.0, deadline=DEADLINE, generation=3)
WAITING = Found(
    status=Status.QUEUED,
    generation=3,
    attempt=2,
    poison=1,
    witnessed=False,
    owner=None,
    reservation=None,
    deadline=DEADLINE,
    not_before=None,
)
RUNS = replace(WAITING, status=Status.IN_PROGRESS, owner="other:1", reservation="slot-9")
MINE = replace(RUNS, owner=ME.owner, reservation=ME.reservation)
AHEAD = NOW + 60


@pytest.mark.parametrize(
    ("found", "message", "answer"),
    [
        (None, MESSAGE, Run(1, 0)),
        (None, replace(MESSAGE, deadline=NOW), Late(0)),
        (None, replace(MESSAGE, deadline=NOW, accepted_at=NOW - RETENTION_S), Done()),
        (None, replace(MESSAGE, deadline=NOW + 1, accepted_at=NOW - RETENTION_S), Run(1, 0)),
        (None, replace(MESSAGE, not_before=AHEAD), Early(AHEAD)),
        (WAITING, replace(MESSAGE, generation=2), Done()),
        (replace(WAITING, status=Status.FAILED), MESSAGE, Done()),
        (replace(WAITING, status=Status.FAILED), replace(MESSAGE, generation=9), Done()),
        (WAITING, MESSAGE, Run(3, 1)),
        (WAITING, replace(MESSAGE, generation=4), Run(3, 1)),
        (replace(WAITING, deadline=NOW), MESSAGE, Late(2)),
        (replace(WAITING, not_before=AHEAD), MESSAGE, Early(AHEAD)),
        (replace(WAITING, not_before=NOW + EARLY_TOLERANCE_S / 2), MESSAGE, Run(3, 1)),
        (replace(WAITING, not_before=AHEAD), replace(MESSAGE, generation=4), Run(3, 1)),
        (WAITING, replace(MESSAGE, generation=4, not_before=AHEAD), Early(AHEAD)),
        (WAITING, replace(MESSAGE, not_before=AHEAD), Run(3, 1)),
        (replace(WAITING, deadline=NOW, not_before=AHEAD), MESSAGE, Late(2)),
        (RUNS, MESSAGE, Running("other:1", 2, same_generation=True, poison=1)),
        (
            RUNS,
            replace(MESSAGE, generation=4),
            Running("other:1", 2, same_generation=False, poison=1),
        ),
        (RUNS, replace(MESSAGE, generation=2), Done()),
        (replace(RUNS, deadline=NOW), MESSAGE, Running("other:1", 2, True, 1)),
        (MINE, MESSAGE, Run(2, 1)),
        (
            replace(MINE, reservation="slot-2"),
            MESSAGE,
            Running("me:1", 2, same_generation=True, poison=1),
        ),
    ],
)
def test_a_claim(found: Found | None, message: object, answer: Claim) -> None:
    assert decide_claim(found, message, ME, NOW, RETENTION_S) == answer  # type: ignore[arg-type]  # because the table mixes them


@pytest.mark.parametrize(
    ("found", "dead", "answer"),
    [
        (RUNS, "other:1", Run(3, 1)),
        (replace(RUNS, witnessed=True), "other:1", Run(3, 2)),
        (RUNS, "third:1", Running("other:1", 2, same_generation=True, poison=1)),
        (replace(RUNS, deadline=NOW), "other:1", Late(2)),
        (replace(RUNS, not_before=AHEAD), "other:1", Run(3, 1)),
        (replace(RUNS, generation=4), "other:1", Done()),
        (MINE, "me:1", Run(2, 1)),
        (WAITING, "other:1", Run(3, 1)),
        (replace(WAITING, status=Status.COMPLETED), "other:1", Done()),
        (None, "other:1", Run(1, 0)),
    ],
)
def test_a_take_over(found: Found | None, dead: str, answer: Claim) -> None:
    assert decide_take_over(found, MESSAGE, ME, dead, NOW, RETENTION_S) == answer


founds = st.none() | st.builds(
    Found,
    status=st.sampled_from(Status),
    generation=st.integers(0, 4),
    attempt=st.integers(0, 5),
    poison=st.integers(0, 3),
    witnessed=st.booleans(),
    owner=st.sampled_from(["me:1", "other:1"]),
    reservation=st.sampled_from(["slot-1", "slot-2"]),
    deadline=st.sampled_from([NOW - 1, DEADLINE]),
    not_before=st.sampled_from([None, NOW - 1, AHEAD]),
)


@given(found=founds, generation=st.integers(0, 4))
def test_no_claim_runs_an_ended_request_an_older_copy_or_someone_elses_run(
    found: Found | None, generation: int
) -> None:
    answer = decide_claim(found, replace(MESSAGE, generation=generation), ME, NOW, RETENTION_S)
    if not isinstance(answer, Run) or found is None:
        return
    assert found.status not in TERMINAL
    assert generation >= found.generation
    if found.status is Status.IN_PROGRESS:
        assert (found.owner, found.reservation) == (ME.owner, ME.reservation)
        assert answer.attempt == found.attempt
    else:
        assert answer.attempt == found.attempt + 1
        assert found.deadline > NOW
