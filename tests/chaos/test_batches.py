"""The gates of batches, short; `python -m benchmarks.gates batch-losses batch-sizes`: the long."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gates import batch_losses, batch_sizes
from benchmarks.gates.figures import Figure, missed
from benchmarks.gates.stage import Stage
from tests.fakes.stack import Engine, Setup

_ENGINES = ["embedded", pytest.param("real", marks=pytest.mark.realservers)]


def assert_met(figures: list[Figure]) -> None:
    print(*figures, sep="\n")
    assert missed(figures) == []


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", _ENGINES)
def test_every_line_is_told_once_whatever_is_killed(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(tmp_path, Setup(engine=engine))
    assert_met(batch_losses.measure(stage, batch_losses.SHORT))


@pytest.mark.chaos
@pytest.mark.realservers
@pytest.mark.timeout(300)
def test_a_long_batch_needs_no_memory_and_ends_when_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Setup(engine="real"))
    assert_met(batch_sizes.measure(stage, batch_sizes.SHORT))
