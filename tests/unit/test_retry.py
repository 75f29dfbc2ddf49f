"""What follows a failed attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.retry import (
    CLASSES,
    SOONEST_S,
    AnotherReplica,
    Expire,
    Failed,
    Failure,
    GiveUp,
    Later,
    NextStep,
    failure_of_status,
    next_step,
)
from broker.topology import TIERS
from schemas.errors import TERMINAL_CODES

LADDER = [tier.delay_s for tier in TIERS]
PLENTY_S = 1e6
PASSING = [failure for failure, row in CLASSES.items() if not row.final]

_ONCE = Failed(Failure.BUSY, 1, 5, tried=1, untried=0, metered=False, remaining_s=PLENTY_S)

failures = st.builds(
    Failed,
    failure=st.sampled_from(Failure),
    attempt=st.integers(1, 100),
    max_attempts=st.integers(1, 100),
    tried=st.just(1),
    untried=st.integers(0, 3),
    metered=st.booleans(),
    remaining_s=st.floats(-10, 7 * 86_400),
    retry_after_s=st.none() | st.floats(0, 600),
    bound=st.booleans(),
)
draws = st.floats(0, 1, exclude_max=True)


def step_of(failed: Failed, *, within_budget: bool = True, draw: float = 0.0) -> NextStep:
    return next_step(failed, within_budget=within_budget, draw=draw)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, "REFUSED"),
        (401, "REFUSED"),
        (404, "REFUSED"),
        (422, "REFUSED"),
        (408, "ERROR"),
        (409, "ERROR"),
        (425, "ERROR"),
        (429, "BUSY"),
        (500, "ERROR"),
        (502, "ERROR"),
        (503, "BUSY"),
        (599, "ERROR"),
    ],
)
def test_classes_of_statuses(status: int, failure: str) -> None:
    assert failure_of_status(status) is Failure[failure]


def test_every_class_has_a_row_whose_code_is_documented_and_whose_wait_is_a_tier() -> None:
    assert set(CLASSES) == set(Failure)
    for row in CLASSES.values():
        assert row.code in TERMINAL_CODES
        assert row.final or row.base_delay_s in LADDER


def test_a_final_refusal_ends_at_once_and_is_no_dead_letter() -> None:
    refused = replace(_ONCE, failure=Failure.REFUSED, untried=2)
    assert step_of(refused) == GiveUp("backend_failed", dead_letter=False)


@pytest.mark.parametrize("failure", PASSING)
def test_the_last_attempt_is_a_dead_letter(failure: Failure) -> None:
    last = replace(_ONCE, failure=failure, attempt=5, untried=2)
    assert step_of(last) == GiveUp(CLASSES[failure].code, dead_letter=True)


@pytest.mark.parametrize("failure", PASSING)
def test_a_call_that_its_deadline_cut_off_is_expired(failure: Failure) -> None:
    assert step_of(replace(_ONCE, failure=failure, remaining_s=0.0)) == Expire()


@pytest.mark.parametrize("failure", Failure)
def test_what_was_shown_allows_no_other_attempt(failure: Failure) -> None:
    bound = replace(_ONCE, failure=failure, untried=2, bound=True)
    assert step_of(bound) == GiveUp("stream_interrupted", dead_letter=True)
    assert not isinstance(step_of(replace(bound, remaining_s=0.0)), AnotherReplica | Later)


def test_one_second_try_goes_elsewhere_at_once() -> None:
    assert step_of(replace(_ONCE, untried=1)) == AnotherReplica()
    assert isinstance(step_of(replace(_ONCE, untried=1, tried=2, attempt=2)), Later)
    assert isinstance(step_of(replace(_ONCE, untried=1), within_budget=False), Later)


def test_a_call_that_has_timed_out_is_not_doubled_at_once() -> None:
    assert step_of(replace(_ONCE, failure=Failure.TIMED_OUT, untried=1)) == Later(30)


def test_a_metered_backend_s_second_try_waits_to_be_reserved_anew() -> None:
    assert step_of(replace(_ONCE, untried=1, metered=True)) == Later(SOONEST_S)


def test_the_wait_climbs_every_tier_with_each_return() -> None:
    waits = [step_of(replace(_ONCE, attempt=n, max_attempts=20)) for n in range(1, 10)]
    above = [delay_s for delay_s in LADDER if delay_s >= 5]
    assert waits[: len(above)] == [Later(delay_s) for delay_s in above]
    assert set(waits[len(above) :]) == {Later(LADDER[-1])}


def test_a_second_try_at_once_climbs_no_tier() -> None:
    assert step_of(replace(_ONCE, attempt=2, tried=2)) == Later(5)


def test_beyond_the_budget_it_waits_one_tier_more() -> None:
    assert step_of(_ONCE, within_budget=False) == Later(30)


def test_what_the_backend_asks_for_is_never_undercut_and_never_shortens_the_wait() -> None:
    assert step_of(replace(_ONCE, retry_after_s=77)) == Later(77)
    assert step_of(replace(_ONCE, retry_after_s=0.2)) == Later(5)


def test_what_one_replica_asks_for_does_not_bind_while_another_is_ready() -> None:
    asked = replace(_ONCE, untried=1, metered=True, retry_after_s=77)
    assert step_of(asked) == Later(SOONEST_S)
    assert step_of(asked, within_budget=False) == Later(30)
    assert step_of(replace(asked, remaining_s=60), within_budget=False) == Later(30)


def test_a_wait_takes_at_most_half_of_what_is_left() -> None:
    assert step_of(replace(_ONCE, remaining_s=8.0)) == Later(4.0)
    assert step_of(replace(_ONCE, remaining_s=1.5)) == Later(SOONEST_S)


@pytest.mark.parametrize(("remaining_s", "told"), [(0.9, None), (29.0, 30.0)])
def test_a_retry_that_could_only_start_after_the_deadline_ends_it_now(
    remaining_s: float, told: float | None
) -> None:
    hopeless = replace(_ONCE, remaining_s=remaining_s, retry_after_s=told)
    assert step_of(hopeless) == GiveUp("attempts_exhausted", dead_letter=True)


@given(failures, st.booleans(), draws)
def test_a_wait_is_bounded(failed: Failed, within_budget: bool, draw: float) -> None:
    step = next_step(failed, within_budget=within_budget, draw=draw)
    if isinstance(step, Later):
        assert SOONEST_S <= step.delay_s < failed.remaining_s
        assert step.delay_s <= 1.25 * max(LADDER[-1], failed.retry_after_s or 0)
        assert failed.attempt < failed.max_attempts


@given(failures, draws)
def test_jitter_only_lengthens_and_the_budget_drops_nothing(failed: Failed, draw: float) -> None:
    plain = next_step(failed, within_budget=True, draw=0)
    jittered = next_step(failed, within_budget=True, draw=draw)
    beyond = next_step(failed, within_budget=False, draw=0)
    if isinstance(plain, Later):
        assert isinstance(beyond, Later)
    if isinstance(plain, Later) and isinstance(jittered, Later):
        assert plain.delay_s <= jittered.delay_s
    if isinstance(plain, Later) and isinstance(beyond, Later):
        assert plain.delay_s <= beyond.delay_s
