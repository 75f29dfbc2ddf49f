"""Every row of the table of refusals is met by a test over HTTP."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.errors import DOOR_ERRORS

E2E = Path(__file__).parents[1] / "e2e"


def test_every_code_is_expected_by_some_test_over_http() -> None:
    text = "\n".join(path.read_text() for path in sorted(E2E.glob("test_*.py")))
    untried = [code for code in DOOR_ERRORS if not re.search(rf'"{code}"', text)]
    assert untried == []
