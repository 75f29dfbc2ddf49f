"""Nobody starves: while `high` never ends, late classes get exactly their reserved shares."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.gates.backlog import Old, evenly
from benchmarks.gates.figures import Figure
from benchmarks.gates.stage import Plan, Serving, Stage
from schemas.limits import SchedulingConfig
from schemas.priority import Priority

_MODEL = "gate-shares"
_TOLERANCE = 0.1
# The starts before every window is full say nothing.
_FIRST = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How many starts are looked at, once all classes wait."""

    slots: int
    service_ms: int
    starts: int


SHORT = Size(slots=8, service_ms=40, starts=640)
LONG = Size(slots=16, service_ms=100, starts=9_600)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return each class's part of the starts."""
    config = SchedulingConfig()
    lower = {
        Priority.NORMAL: config.normal,
        Priority.LOW: config.low,
        Priority.BATCH: config.batch,
    }
    plan = Plan(
        models={_MODEL: Serving(size.slots, f"slow-{size.service_ms}")},
        waiting=lambda: [old for each in Priority for old in _late(each, size)],
    )
    with stage.running(plan) as running:
        count = _FIRST + size.starts
        seen = running.seen_when(lambda seen: len(seen.calls) >= count, 60 + size.starts / 50)
    priority_of = {envelope.id: envelope.priority for envelope in running.waiting}
    starts = Counter(priority_of[call["id"]] for call in seen.calls[_FIRST:count])
    rest = size.starts * (1 - sum(each.share for each in lower.values()))
    return [
        *(_figure(priority, starts[priority], size, lower[priority].share) for priority in lower),
        Figure("starts of high", starts[Priority.HIGH], low=rest * 0.95),
    ]


def _late(priority: Priority, size: Size) -> list[Old]:
    """Return enough of a class to last through all the starts, all of them past their target."""
    config = SchedulingConfig()
    share, target_wait_s = 1.0, 0.0
    if priority is not Priority.HIGH:
        reserved = getattr(config, priority.value)
        share, target_wait_s = reserved.share * 2, reserved.target_wait_s
    now = time.time()
    oldest = Old(_MODEL, f"{priority.value}-tenant", priority, now - target_wait_s - 1_200)
    return evenly(oldest, int((size.starts + _FIRST) * share) + 60, now - target_wait_s - 600)


def _figure(priority: Priority, starts: int, size: Size, share: float) -> Figure:
    due = size.starts * share
    # A start more or less at each end of what is looked at is no deviation.
    low = math.floor(due * (1 - _TOLERANCE))
    return Figure(f"starts of {priority}", starts, low, math.ceil(due * (1 + _TOLERANCE)))
