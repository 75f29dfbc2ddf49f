"""When the keeper looks next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.scheduling.checks import Open, next_check

NOW = 1_000.0
PLAIN = Open(
    running=False, published=True, held=False, due=900.0, deadline=90_000.0, copy_apart=False
)


@pytest.mark.parametrize(
    ("record", "at"),
    [
        (PLAIN, 90_000.0),
        (replace(PLAIN, running=True), NOW + 5),
        (replace(PLAIN, running=True, deadline=NOW + 1), NOW + 5),
        (replace(PLAIN, published=False), NOW + 15),
        (replace(PLAIN, published=False, deadline=NOW + 3), NOW + 3),
        (replace(PLAIN, held=True), NOW + 15),
        (replace(PLAIN, held=True, due=NOW + 600), NOW + 15),
        (replace(PLAIN, held=True, deadline=NOW + 3), NOW + 3),
        (replace(PLAIN, copy_apart=True), NOW + 600),
        (replace(PLAIN, copy_apart=True, due=NOW + 100), NOW + 700),
        (replace(PLAIN, copy_apart=True, deadline=NOW + 60), NOW + 60),
    ],
)
def test_the_rule(record: Open, at: float) -> None:
    assert next_check(record, NOW) == at
