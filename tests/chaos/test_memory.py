"""Memory is flat, in the small: 1,000 and 10,000 waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.memory import GATE_KIB, growth_kib, measure
from tests.fakes.stack import Engine


@pytest.mark.chaos
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "engine", ["embedded", pytest.param("real", marks=pytest.mark.realservers)]
)
def test_nine_thousand_more_waiting_requests_need_no_memory(engine: Engine, tmp_path: Path) -> None:
    grown = growth_kib(measure(engine, [1_000, 10_000], tmp_path))
    assert max(grown.values()) <= GATE_KIB, grown
