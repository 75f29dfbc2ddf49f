"""How fast a batch is fed, and how much of its output is gathered before it is written. Pure."""

from __future__ import annotations

# So many lines at most are handed over in one step.
FED_AT_ONCE = 100
# Of one batch; its tenant's batches share twice that between them.
_OF_A_TENANT = 2
MIB = 1024 * 1024
_LEAST_PART_BYTES = 64 * 1024
# Of one step: it is one script, during which Redis does nothing else.
_MOST_PART_LINES = 500
# What all runs of a process hold of their output until it is written.
_ALL_PARTS_BYTES = 64 * MIB
_FIRST_FLUSH_S, _LAST_FLUSH_S = 1.0, 30.0
# From then on it grows with the number of parts, so that a day makes some thousands of them.
_PARTS_AT_FIRST = 100
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _SLOWER = 0.05, 0.2, 1.5
# Looks of all runs of a process, in a second.
_LOOKS = 200
_RATE_OVER_S, _LEAST_S = 10.0, 0.001


def share(window: int, running: int, max_queued: int | None) -> int:
    """Return how many lines each of a tenant's `running` batches may have in the queues.

    They leave the tenant half of its `max_queued` for other requests, but each has at least one.
    """
    own = min(window, _OF_A_TENANT * window // running)
    if max_queued is not None:
        own = min(own, max_queued // 2 // running)
    return max(1, own)


def room(own: int, window: int, unended: int, ungathered: int) -> int:
    """Return how many lines may be fed now: none as long as it is not worth a step.

    `own` is the batch's share, `window` bounds those that are fed and not gathered.
    """
    free = min(own - unended, window - ungathered)
    return min(free, FED_AT_ONCE) if free >= min(FED_AT_ONCE, max(1, own // 4)) else 0


def part_bytes(runs: int) -> int:
    """Return how large a part becomes where a process runs so many batches."""
    return max(_LEAST_PART_BYTES, min(MIB, _ALL_PARTS_BYTES // max(1, runs)))


def is_due(lines: int, size: int, age_s: float, parts: int, window: int, full_bytes: int) -> bool:
    """Tell whether what is gathered is written now: much, old, many, or half of the window."""
    if not lines:
        return False
    flush_s = min(_LAST_FLUSH_S, max(_FIRST_FLUSH_S, parts / _PARTS_AT_FIRST))
    many = lines >= min(_MOST_PART_LINES, (window + 1) // 2)
    return many or size >= full_bytes or age_s >= flush_s


def next_pause(last_s: float, *, found: bool, runs: int) -> float:
    """Return the seconds until the next look for ends: longer while there are none."""
    if found:
        return _FIRST_PAUSE_S
    longest = max(_LONGEST_PAUSE_S, runs / _LOOKS)
    return min(longest, max(_FIRST_PAUSE_S, last_s * _SLOWER))


def next_rate(last: float, lines: int, took_s: float) -> float:
    """Return lines a second, of late: what came in the last ten seconds or so counts most."""
    weight = min(1.0, took_s / _RATE_OVER_S) if last else 1.0
    return last + weight * (lines / max(took_s, _LEAST_S) - last)
