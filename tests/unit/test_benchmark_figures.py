"""What the benchmark makes of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import reference
from benchmarks.figures import MAIN_ROW, aims, control, quotient, voided
from benchmarks.rounds import CONTROL, Row, Run, Runs
from benchmarks.systems import EMBEDDED, FLOOR, REAL, REFERENCE

RATES = {REAL: 700.0, EMBEDDED: 600.0, REFERENCE: 1000.0, FLOOR: 2000.0, CONTROL: 990.0}


def one(per_s: float, cpu_s: float = 1.0) -> Run:
    return Run(100, per_s, 1.0, 2.0, {"api": cpu_s / 2, "worker": cpu_s / 2}, {}, {})


def runs(**changed: float) -> Runs:
    return {name: [one(changed.get(name, rate))] for name, rate in RATES.items()}


def test_a_quotient_is_taken_round_by_round() -> None:
    found = quotient([one(10), one(30), one(20)], [one(10), one(10), one(40)], lambda r: r.per_s)
    assert (found.median, found.low, found.high) == (1.0, 0.5, 3.0)


def test_the_control_compares_the_reference_with_itself() -> None:
    assert control(runs()).median == pytest.approx(0.99)


def test_each_aim_is_met_or_missed_by_its_median() -> None:
    assert [(aim.bound, aim.met) for aim in aims({MAIN_ROW: runs()})] == [
        (0.65, True),
        (1.6, True),
        (1.0, False),
    ]


def test_a_slow_backend_has_an_aim_of_its_own() -> None:
    (aim,) = aims({Row(50, "always"): runs()})
    assert (aim.bound, aim.met) == (0.95, False)


@pytest.mark.parametrize(("floor", "void"), [(2300.0, True), (2200.0, False), (1500.0, True)])
def test_a_run_is_void_when_the_reference_is_not_what_it_claims(floor: float, void: bool) -> None:
    assert (voided({MAIN_ROW: runs(floor=floor)}) is not None) == void


def test_only_the_main_row_judges_the_reference() -> None:
    assert voided({Row(50, "everysec"): runs(floor=1000.0)}) is None


def test_the_reference_stays_what_one_writes_by_hand() -> None:
    assert len(Path(reference.__file__).read_text().splitlines()) < 200
