"""When a commit wins (PROTOCOL 4). Pure, and shared by every store."""

from __future__ import annotations

from schemas.lifecycle import TERMINAL, Status


def commit_wins(found: Status | None, found_attempt: int, result: Status, attempt: int) -> bool:
    """Tell whether a result of `attempt` may end the record; `found` is None for a missing one.

    A success counts although its owner was taken over before the next attempt began; a failure
    only from the attempt that the record names, since a newer one may still succeed. A `queued`
    record has no attempt under way that a failure could cut off.
    """
    if found is None:
        return True
    if found in TERMINAL or found_attempt > attempt:
        return False
    return result is not Status.FAILED or found_attempt == attempt or found is Status.QUEUED
