"""When a backend that refused a call wants to be called again, as its headers say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

# A backend that asks for more is asked again after ten minutes all the same.
LONGEST_S = 600.0
_LIMITED = ("requests", "tokens")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def retry_after_s(
    headers: Mapping[str, str], now: float, longest_s: float = LONGEST_S
) -> float | None:
    """Return the seconds from `now` (Unix) that a 429 or 503 asks for; None if none.

    It is 0 to `longest_s`: the first that can be read of `retry-after-ms`, `Retry-After` (seconds
    or an HTTP date) and the latest `x-ratelimit-reset-requests|tokens` (such as `1m30s`) of what
    is used up.
    """
    for told in (_milliseconds(headers), _retry_after(headers, now), _reset(headers)):
        if told is not None:
            return min(longest_s, max(0.0, told))
    return None


def _milliseconds(headers: Mapping[str, str]) -> float | None:
    told = _number(headers.get("retry-after-ms", ""))
    return None if told is None else told / 1_000


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    text = headers.get("retry-after", "")
    told = _number(text)
    if told is not None or not text:
        return told
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return instant.timestamp() - now


def _reset(headers: Mapping[str, str]) -> float | None:
    return max(_resets(headers), default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[float]:
    for what in _LIMITED:
        if _number(headers.get(f"x-ratelimit-remaining-{what}", "0")):
            continue
        told = _duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        if told is not None:
            yield told


def _duration(text: str) -> float | None:
    """Return the seconds in `6m0s`, `20ms` or a bare number of seconds."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return _number(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _number(text: str) -> float | None:
    """Return a plain decimal number: no sign, no exponent, and not so long that it is no time."""
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
        return None
    return float(text)
