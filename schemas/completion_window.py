"""How long a batch may take, as its creator writes it: `24h`, `10m`, `1h30m`, `90s`, `7d`."""

from __future__ import annotations

import re

from schemas.config import MAX_DEADLINE_S

_LEAST_S = 1
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WINDOW = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _UNITS_S))


def window_s(text: str) -> float:
    """Return a window in seconds. Raises ValueError with the rule that it breaks."""
    found = _WINDOW.fullmatch(text)
    if not text or found is None:
        raise ValueError("must be a duration such as 24h, 10m, 1h30m or 90s")
    parts = zip(found.groups(), _UNITS_S.values(), strict=True)
    seconds = sum(float(number) * unit for number, unit in parts if number is not None)
    if not _LEAST_S <= seconds <= MAX_DEADLINE_S:
        raise ValueError("must be from 1s to 7d")
    return seconds
