"""Eight equal floods get equal tokens, although half of them ask in pieces four times as large."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.gates.backlog import Old, evenly, tokens_of
from benchmarks.gates.figures import Figure, jain
from benchmarks.gates.stage import Plan, Serving, Stage
from schemas.priority import Priority

_MODEL = "gate-equal"
_TENANTS = 8
_PIECES = 4
_SMALL_WORDS = 50


@dataclass(frozen=True, slots=True)
class Size:
    """`small` requests of each tenant that asks in small pieces."""

    slots: int
    service_ms: int
    small: int


SHORT = Size(slots=8, service_ms=40, small=100)
LONG = Size(slots=8, service_ms=100, small=2_000)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return Jain's index of the tokens of all that had begun at half of the time."""
    waiting = _floods(size)
    plan = Plan(
        models={_MODEL: Serving(size.slots, f"slow-{size.service_ms}")}, waiting=lambda: waiting
    )
    with stage.running(plan) as running:
        whole = len(waiting) * size.service_ms / 1000 / size.slots
        seen = running.seen_when(lambda seen: len(seen.calls) >= len(waiting), 30 + 2 * whole)
    sizes = zip(running.waiting, waiting, strict=True)
    tokens = {envelope.id: tokens_of(old) for envelope, old in sizes}
    tenants = {envelope.id: envelope.tenant for envelope in running.waiting}
    starts = sorted((start, request_id) for request_id, start in seen.starts.items())
    half_time = (starts[0][0] + starts[-1][0]) / 2
    spent: Counter[str] = Counter(dict.fromkeys(tenants.values(), 0))
    for start, request_id in starts:
        if start <= half_time:
            spent[tenants[request_id]] += tokens[request_id]
    return [
        Figure("Jain's index of tokens at half time", jain(list(spent.values())), low=0.95),
        Figure("tenants", len(spent), low=_TENANTS),
    ]


def _floods(size: Size) -> list[Old]:
    """Return floods of equal tokens that come in at the same time, oldest first."""
    now = time.time()
    floods: list[Old] = []
    draw = random.Random(_TENANTS)
    for number in range(_TENANTS):
        large = number % 2 == 0
        words = _SMALL_WORDS * (_PIECES if large else 1)
        count = size.small // (_PIECES if large else 1)
        # Not all to the same instant, in which their names could decide.
        oldest = now - 60 + draw.random() / 10
        first = Old(_MODEL, f"tenant-{number}", Priority.NORMAL, oldest, words)
        floods += evenly(first, count, now)
    return sorted(floods, key=lambda old: old.accepted_at)
