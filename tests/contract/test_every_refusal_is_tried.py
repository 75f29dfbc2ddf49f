"""Every row of the tables of refusals and of mistakes is met by a test."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.errors import BATCH_ENDINGS, BATCH_ERRORS, DOOR_ERRORS

TESTS = Path(__file__).parents[1]
E2E = TESTS / "e2e"


def test_every_code_is_expected_by_some_test_over_http() -> None:
    text = "\n".join(path.read_text() for path in sorted(E2E.glob("test_*.py")))
    untried = [code for code in DOOR_ERRORS if not re.search(rf'"{code}"', text)]
    assert untried == []


def test_every_mistake_of_a_batch_and_every_end_of_a_line_is_expected_by_some_test() -> None:
    text = "\n".join(path.read_text() for path in sorted(TESTS.glob("*/test_batch*.py")))
    untried = [code for code in (*BATCH_ERRORS, *BATCH_ENDINGS) if f'"{code}"' not in text]
    assert untried == []
