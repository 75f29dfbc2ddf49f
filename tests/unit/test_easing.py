"""Slowness is measured like with like, and fewer calls are kept only where they help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.easing import EASE, TOLERANCE, Easing, Verdict
from broker.scheduling.latency import Latency


def heard(easing: Easing, limit: float, ratio: float) -> Verdict:
    """Hear enough calls that began after the last decrease."""
    for _ in range(100):
        verdict = easing.heard(ratio, began_after=True, limit=limit, least=2)
        if verdict is not Verdict.WAIT:
            return verdict
    raise AssertionError("it never judges")


def eased(before: float, after: list[float]) -> Verdict:
    """Decrease from 100 with the given slowness after each step; return the last verdict."""
    easing, limit, verdict = Easing(100), 100.0, Verdict.WAIT
    assert easing.heard(before, began_after=False, limit=limit, least=2) is Verdict.WAIT
    for ratio in after:
        limit *= EASE
        verdict = heard(easing, limit, ratio)
        if verdict is not Verdict.MORE:
            break
        easing.eased_again()
    return verdict


def test_one_decrease_that_was_enough_has_helped() -> None:
    assert eased(2.2, [1.8]) is Verdict.HELPED


def test_slowness_that_no_number_of_calls_changes_is_no_matter_of_calls() -> None:
    assert eased(5.0, [5.0] * 10) is Verdict.IN_VAIN


def test_a_small_effect_of_one_of_many_processes_is_not_taken_for_none() -> None:
    assert eased(4.0, [3.8, 3.6, 3.4]) is Verdict.MORE


def test_what_becomes_slower_meanwhile_is_judged_by_the_last_decrease() -> None:
    assert eased(2.5, [2.1, 4.0, 3.9, 3.0]) is Verdict.MORE


@given(st.floats(TOLERANCE, 5), st.lists(st.floats(0.1, 5), min_size=30, max_size=30))
def test_every_series_ends(before: float, after: list[float]) -> None:
    assert eased(before, after) is not Verdict.WAIT
    easing = Easing(100)
    assert heard(easing, 2, 5.0) is not Verdict.MORE


def test_strain_is_measured_within_a_kind_and_a_length() -> None:
    latency = Latency()
    for _ in range(200):
        latency.observe("small", 0.1, 100)
        latency.observe("large", 2.0, 100)
        latency.observe("small", 20.0, 4_000)
    assert latency.strain == pytest.approx(1.0)
    for _ in range(200):
        latency.observe("small", 0.3, 100)
    assert latency.strain == pytest.approx(3.0, rel=0.01)


def test_time_counts_by_the_token_within_a_length() -> None:
    latency = Latency()
    for tokens in (64, 127) * 200:
        latency.observe("m", tokens * 0.01, tokens)
    assert latency.strain == pytest.approx(1.0)


def test_what_is_accepted_is_the_measure() -> None:
    latency = Latency()
    for seconds in [1.0] * 100 + [4.0] * 100:
        latency.observe("m", seconds, 10)
    latency.accept(4.0)
    latency.restart()
    for _ in range(100):
        assert latency.observe("m", 4.0, 10) == pytest.approx(1.0)
    assert latency.strain == pytest.approx(1.0)


def test_many_kinds_are_not_kept_for_ever() -> None:
    latency = Latency()
    for number in range(1_000):
        latency.observe(number, 1.0, 10)
    assert len(latency._kinds) <= 256
