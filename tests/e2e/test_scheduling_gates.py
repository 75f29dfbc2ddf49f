"""The gates of the scheduler, short; `python -m benchmarks.gates` has the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gates import equal_floods, high_waits, quiet_tenant, rates, shares
from benchmarks.gates.figures import Figure, missed
from benchmarks.gates.stage import Stage
from tests.fakes.stack import Setup


@pytest.fixture
def stage(setup: Setup, tmp_path: Path) -> Stage:
    return Stage(tmp_path, setup)


def assert_met(figures: list[Figure]) -> None:
    print(*figures, sep="\n")
    assert missed(figures) == []


def test_high_never_waits_behind_a_late_backlog_of_low(stage: Stage) -> None:
    assert_met(high_waits.measure(stage, high_waits.SHORT))


def test_late_classes_get_their_shares_while_high_never_ends(stage: Stage) -> None:
    assert_met(shares.measure(stage, shares.SHORT))


def test_a_quiet_tenant_does_not_wait_behind_floods(stage: Stage) -> None:
    assert_met(quiet_tenant.measure(stage, quiet_tenant.SHORT))


def test_equal_floods_get_equal_tokens(stage: Stage) -> None:
    assert_met(equal_floods.measure(stage, equal_floods.SHORT))


def test_what_is_over_a_tenants_limits_waits_for_its_turn(stage: Stage) -> None:
    assert_met(rates.measure(stage, rates.SHORT))
