"""Bodies and results that are too large for messages and records: until when their blobs are kept.

A blob lies under the hour from which on it may be dropped, counted from 1970: what has passed is
found without knowing of what it was a part.
"""

from __future__ import annotations

import math
import re

LARGE_BYTES = 256 * 1024
LETTER_KEPT_S = 7 * 86_400.0
PREFIX = "until/"
_HOUR_S = 3_600
# Clocks differ, and a request may end a moment after its deadline.
_SPARE_HOURS = 1
_DIGITS = 10
# A kept body is a JSON object, which never begins like this.
_APART = b"\0"


def body_hour(deadline: float, retention_s: float) -> int:
    """Return the hour of a body: it is kept for as long as its request may be read or redriven.

    A dead letter is kept for 7 days after its end, and a result for `retention_s`.
    """
    return _hour_after(deadline + max(retention_s, LETTER_KEPT_S))


def result_hour(finished_at: float, retention_s: float, *, dead_letter: bool) -> int:
    """Return the hour of a result's body."""
    kept_s = max(retention_s, LETTER_KEPT_S) if dead_letter else retention_s
    return _hour_after(finished_at + kept_s)


def body_key(hour: int, request_id: str, token: str) -> str:
    """Return the key of a body; a `token` of its own for each that is put.

    Two submissions may have one id, and only one of them becomes the request.
    """
    return f"{PREFIX}{hour:0{_DIGITS}d}/{request_id}.{token}.body"


def result_key(hour: int, request_id: str, attempt: int) -> str:
    """Return the key of a result's body; an attempt that loses does not touch the winner's."""
    return f"{PREFIX}{hour:0{_DIGITS}d}/{request_id}.{attempt}.result"


def is_body_key(key: str, request_id: str) -> bool:
    """Tell whether a body of this request may lie there: a message must not name another's."""
    pattern = rf"{PREFIX}[0-9]{{{_DIGITS}}}/{re.escape(request_id)}\.[0-9a-f]{{1,32}}\.body"
    return re.fullmatch(pattern, key) is not None


def is_past(key: str, now: float) -> bool:
    """Tell whether a blob's hour has come; what has none stays."""
    hour = key.removeprefix(PREFIX).partition("/")[0]
    return key.startswith(PREFIX) and hour.isdigit() and int(hour) * _HOUR_S <= now


def kept_apart(key: str) -> bytes:
    """Return what a record keeps instead of a body that lies in a blob."""
    return _APART + key.encode()


def blob_of_kept(kept: bytes) -> str | None:
    """Return the key of the blob that a kept body lies in; None for the body itself."""
    return kept.removeprefix(_APART).decode() if kept.startswith(_APART) else None


def _hour_after(instant: float) -> int:
    return math.floor(instant / _HOUR_S) + 1 + _SPARE_HOURS
