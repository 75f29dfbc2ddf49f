"""A receiver that never answers does not slow those that do."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gates.figures import Figure, percentile
from benchmarks.gates.stage import Stage
from benchmarks.gates.webhook_stage import Hooked, hooked

_TIMEOUT_S = 15.0
_RETRY_S = (0, 5, 30)
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """Each request is told to every receiver; `tolerance` is that of the healthy ones' p95."""

    healthy: int
    requests: int
    every_s: float
    tolerance: float


# In the suite other tests run beside it, so that times tell little: there all must only arrive.
SHORT = Size(healthy=20, requests=15, every_s=0.2, tolerance=math.inf)
LONG = Size(healthy=100, requests=120, every_s=1.0, tolerance=0.2)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return the healthy receivers' p95 beside the silent one, by that without it."""
    alone, missing = _lateness(stage, size, silent=False)
    beside, missing_beside = _lateness(stage, size, silent=True)
    ratio = percentile(beside, 95) / percentile(alone, 95)
    low, high = 1 - min(1.0, size.tolerance), 1 + size.tolerance
    return [
        Figure("p95 beside a silent receiver ÷ without it", ratio, low=low, high=high),
        Figure("healthy events that did not arrive", missing + missing_beside, low=0, high=0),
        Figure("p95 without it, ms", percentile(alone, 95) * 1000),
        Figure("p95 beside it, ms", percentile(beside, 95) * 1000),
    ]


def _lateness(stage: Stage, size: Size, *, silent: bool) -> tuple[Sequence[float], int]:
    """Return how long after its request's end each healthy event came, and how many did not."""
    with hooked(stage, _TIMEOUT_S, _RETRY_S) as running:
        if silent:
            running.endpoint("silent")
        for number in range(size.healthy):
            running.endpoint(f"healthy/{number}")
        asyncio.run(running.submitted(size.requests, size.every_s))
        late = _arrived(running, size.healthy * size.requests)
        if silent:
            assert any(each.path == "/silent" for each in running.receiver.got)
    return late, size.healthy * size.requests - len(late)


def _arrived(running: Hooked, count: int) -> list[float]:
    ends_at = time.monotonic() + _PATIENCE_S
    while True:
        healthy = [each for each in running.receiver.got if each.path.startswith("/healthy")]
        if len(healthy) >= count or time.monotonic() > ends_at:
            first: dict[str, float] = {}
            for each in healthy:
                ended_at = json.loads(each.body)["data"]["finished_at"]
                first.setdefault(each.id, each.came_at - ended_at)
            return list(first.values())
        time.sleep(0.1)
