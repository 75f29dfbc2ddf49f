"""What a request will cost is learnt from the newest ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.scheduling.estimate import Estimator

# Others may be using the machine.
unhurried = settings(deadline=None)


def test_before_the_first_there_is_a_guess() -> None:
    estimator = Estimator()
    assert estimator.cost(100, None) > 100
    assert estimator.cost(100, 10) == 110
    assert estimator.service_s == 1.0


def test_the_cost_is_the_input_and_the_usual_output() -> None:
    estimator = Estimator()
    for tokens in range(1, 102):
        estimator.observe(tokens, 2.0)
    assert estimator.cost(10, None) == 10 + 76
    assert estimator.cost(10, 1_000) == 10 + 76
    assert estimator.cost(10, 20) == 30


def test_a_request_always_costs_something() -> None:
    estimator = Estimator()
    estimator.observe(0, 0.1)
    assert estimator.cost(0, None) == 1.0


@unhurried
@given(st.lists(st.tuples(st.integers(0, 1_000), st.floats(0, 100)), min_size=1, max_size=600))
def test_only_the_newest_count(ended: list[tuple[int, float]]) -> None:
    estimator = Estimator()
    for tokens, seconds in ended:
        estimator.observe(tokens, seconds)
    newest = ended[-256:]
    outputs = sorted(tokens for tokens, _ in newest)
    below = outputs[math.floor(0.75 * (len(outputs) - 1))]
    assert estimator.cost(1, None) == 1 + below
    mean = sum(seconds for _, seconds in newest) / len(newest)
    assert estimator.service_s == pytest.approx(mean, abs=1e-6)
