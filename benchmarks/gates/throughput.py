"""One scheduler over four classes keeps the slots as busy as one queue without any would."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.gates.backlog import Old, evenly
from benchmarks.gates.figures import Figure
from benchmarks.gates.stage import Plan, Serving, Stage
from schemas.priority import Priority

_MODEL = "gate-throughput"
_TENANTS = 3


@dataclass(frozen=True, slots=True)
class Size:
    """`requests` of each class and tenant."""

    slots: int
    service_ms: int
    requests: int


SHORT = Size(slots=16, service_ms=100, requests=60)
LONG = Size(slots=16, service_ms=100, requests=400)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return starts a second ÷ what the slots could do, over all but the first and last tenth."""
    waiting = _mixed(size)
    plan = Plan(
        models={_MODEL: Serving(size.slots, f"slow-{size.service_ms}")}, waiting=lambda: waiting
    )
    ideal = size.slots * 1000 / size.service_ms
    with stage.running(plan) as running:
        patience_s = 30 + 3 * len(waiting) / ideal
        seen = running.seen_when(lambda seen: len(seen.calls) >= len(waiting), patience_s)
    starts = [call["start"] for call in seen.calls]
    edge = len(starts) // 10
    seconds = starts[-edge] - starts[edge]
    rate = (len(starts) - 2 * edge) / seconds
    return [
        Figure("throughput ÷ ideal, four classes mixed", rate / ideal, low=0.95),
        Figure("  by the time that calls really took", rate * seen.service_s() / size.slots),
        Figure("most open calls", seen.most_open(), high=size.slots),
    ]


def _mixed(size: Size) -> list[Old]:
    now = time.time()
    first = [
        Old(_MODEL, f"tenant-{number}", priority, now - 60 + number / 100)
        for priority in Priority
        for number in range(_TENANTS)
    ]
    return [old for each in first for old in evenly(each, size.requests, now)]
