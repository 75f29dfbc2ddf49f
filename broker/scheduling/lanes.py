"""In which lane a request waits: a tenant that floods meets only other floods (PROTOCOL 2)."""

from __future__ import annotations

from schemas.priority import Lane, Priority

# So many of a tenant, model and priority may wait in front of others.
OPEN_WINDOW = 32
_DRAINED_BELOW = 16


def next_lane(last: Lane, queued: int) -> Lane:
    """Return the lane of a tenant's next request; `queued` of its model and priority wait already.

    Once it floods it floods until it has drained below half, so that its order stays its own.
    """
    if queued >= OPEN_WINDOW:
        return Lane.FLOOD
    return last if queued >= _DRAINED_BELOW else Lane.OPEN


def line_keys(priority: Priority, lane: Lane) -> tuple[str, str]:
    """Return the two names under which `Served` counts a start: of its class, and of its lane."""
    return priority.value, f"{priority.value} {lane.value}"
