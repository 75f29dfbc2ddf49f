"""Targets keep their shares and their answers."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas.ids import new_request_id
from workers.routing.targets import Target, choose_target

TARGETS = (Target("a", "m", 95), Target("b", "m", 5), Target("off", "m", 0))


def test_the_same_request_meets_the_same_target() -> None:
    request_id = new_request_id()
    assert len({choose_target(TARGETS, request_id) for _ in range(20)}) == 1


def test_weights_are_shares() -> None:
    counts = Counter(choose_target(TARGETS, new_request_id()).backend for _ in range(20_000))
    assert counts["off"] == 0
    assert counts["b"] / 20_000 == pytest.approx(0.05, abs=0.01)
