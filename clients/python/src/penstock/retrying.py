"""When a call is made again: a policy without a clock."""

from __future__ import annotations

import random

from penstock.errors import PenstockError, Refused, Unreachable

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
# A server that names a longer time means: not now.
LONGEST_ASKED_S = 120.0
# What says that there is no room: to wait is all that helps, and always helps.
_FULL = ("queue_full", "tenant_queue_full")


class Patience:
    """The tries that are left of one call; `retries` without progress, then no more."""

    def __init__(self, retries: int, *, waits_for_room: bool = False) -> None:
        self._retries = retries
        self._waits_for_room = waits_for_room
        self._tried = 0

    def renew(self) -> None:
        """Begin to count anew: there was progress."""
        self._tried = 0

    def pause_s(self, error: PenstockError) -> float | None:
        """Return after how many seconds to try again after `error`; None: not any more."""
        asked_s = error.retry_after_s if isinstance(error, Refused) else None
        if isinstance(error, Refused) and error.code in _FULL and self._waits_for_room:
            return min(asked_s or FIRST_PAUSE_S, LONGEST_PAUSE_S) * _jitter()
        if not _passing(error) or self._tried >= self._retries:
            return None
        if asked_s is not None and asked_s > LONGEST_ASKED_S:
            return None
        pause_s: float = min(FIRST_PAUSE_S * 2**self._tried, LONGEST_PAUSE_S) * _jitter()
        self._tried += 1
        # Never before the server wants it, and not all callers at once.
        return pause_s if asked_s is None else max(asked_s, pause_s) * random.uniform(1.0, 1.25)


def _passing(error: PenstockError) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and not error.final)


def _jitter() -> float:
    return random.uniform(0.75, 1.0)
