"""A receiver that never answers does not slow those that do."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchmarks.gates.figures import Figure, percentile
from benchmarks.gates.stage import Stage
from benchmarks.gates.webhook_stage import Hooked, hooked

_TIMEOUT_S = 15.0
_RETRY_S = (0, 5, 30)
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """Each request is told to every receiver; `tolerance` is that of the healthy ones' p95.

    The silent receiver is there in every other of the `blocks`, of `requests` each, so that what
    else the machine does falls on both.
    """

    healthy: int
    blocks: int
    requests: int
    every_s: float
    tolerance: float


# In the suite other tests run beside it, so that times tell little: there all must only arrive.
SHORT = Size(healthy=20, blocks=2, requests=15, every_s=0.2, tolerance=math.inf)
LONG = Size(healthy=100, blocks=20, requests=10, every_s=0.8, tolerance=0.2)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return the healthy receivers' p95 beside the silent one, by that without it."""
    alone: list[float] = []
    beside: list[float] = []
    with hooked(stage, _TIMEOUT_S, _RETRY_S) as running:
        for number in range(size.healthy):
            running.endpoint(f"healthy/{number}")
        silent = running.endpoint("silent")
        running.disable(silent, disabled=True)
        # The first ones find nothing warm.
        _lateness(running, asyncio.run(running.submitted(size.requests, size.every_s)), size)
        for block in range(size.blocks):
            there = block % 2 == 1
            running.disable(silent, disabled=not there)
            ids = asyncio.run(running.submitted(size.requests, size.every_s))
            (beside if there else alone).extend(_lateness(running, ids, size))
        assert any(each.path == "/silent" for each in running.receiver.got)
    missing = size.blocks * size.requests * size.healthy - len(alone) - len(beside)
    ratio = percentile(beside, 95) / percentile(alone, 95)
    low, high = 1 - min(1.0, size.tolerance), 1 + size.tolerance
    return [
        Figure("p95 beside a silent receiver ÷ without it", ratio, low=low, high=high),
        Figure("healthy events that did not arrive", missing, low=0, high=0),
        Figure("p95 without it, ms", percentile(alone, 95) * 1000),
        Figure("p95 beside it, ms", percentile(beside, 95) * 1000),
    ]


def _lateness(running: Hooked, ids: Collection[str], size: Size) -> Sequence[float]:
    """Return how long after its request's end each healthy event of these came."""
    wanted, ends_at = frozenset(ids), time.monotonic() + _PATIENCE_S
    while True:
        first: dict[str, float] = {}
        for each in list(running.receiver.got):
            if each.path.startswith("/healthy"):
                told = json.loads(each.body)["data"]
                if told["id"] in wanted:
                    first.setdefault(each.id, each.came_at - told["finished_at"])
        if len(first) >= len(wanted) * size.healthy or time.monotonic() > ends_at:
            return list(first.values())
        time.sleep(0.5)
