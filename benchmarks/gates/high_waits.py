"""`high` waits for no more than a slot: 10 % of the capacity over half an hour of late `low`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.gates.arrivals import Arrival, every, submit
from benchmarks.gates.backlog import Old, evenly
from benchmarks.gates.figures import Figure, percentile
from benchmarks.gates.seen import Seen
from benchmarks.gates.stage import Plan, Serving, Stage
from schemas.priority import Priority

_MODEL, _TENANT = "gate-high", "urgent"
_MARGIN_S = 0.05
# The backlog is older than the target wait of `low`, which has its reserved share then.
_OLDEST_S, _NEWEST_S = 2_700.0, 900.0


@dataclass(frozen=True, slots=True)
class Size:
    """`waiting` requests of `low`; `high` comes in for `seconds`.

    `noise_s` is what a machine that is busy with other things may add to a wait.
    """

    slots: int
    service_ms: int
    waiting: int
    seconds: float
    noise_s: float = 0.0

    @property
    def capacity(self) -> float:
        """Calls a second."""
        return self.slots * 1000 / self.service_ms


SHORT = Size(slots=8, service_ms=100, waiting=900, seconds=6, noise_s=1.0)
# Half an hour at 20 a second.
LONG = Size(slots=4, service_ms=200, waiting=36_000, seconds=120)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return what `high` waited for."""
    now = time.time()
    oldest = Old(_MODEL, "patient", Priority.LOW, now - _OLDEST_S)
    plan = Plan(
        models={_MODEL: Serving(size.slots, f"slow-{size.service_ms}")},
        tenants={_TENANT: {}},
        waiting=lambda: evenly(oldest, size.waiting, now - _NEWEST_S),
    )
    arrival = Arrival(0.0, _MODEL, _TENANT, "high")
    load = every(10 / size.capacity, size.seconds, arrival)
    with stage.running(plan) as running:
        running.warm()
        answers = submit(running.url, running.keys, load)
        ids = [answer.id for answer in answers]
        seen = running.seen_when(lambda seen: seen.has(ids), 5)
        left = size.waiting - len(seen.of([envelope.id for envelope in running.waiting]).calls)
    waits = [seen.wait_s(answer.id, answer.accepted_at) for answer in answers]
    bound = seen.service_s() + _MARGIN_S + size.noise_s
    return [
        Figure("p99 of the wait of high, s", percentile(waits, 99), high=bound),
        Figure("median of the wait of high, s", percentile(waits, 50)),
        Figure("requests of high", len(waits), low=20),
        Figure("requests of low still waiting", left, low=1),
        Figure("share of low while high came in", _share_of_low(seen, set(ids)), low=0.8),
    ]


def _share_of_low(seen: Seen, high: set[str]) -> float:
    """Return which share of the calls was of `low` once the first of `high` had begun."""
    ids = [call["id"] for call in seen.calls]
    first = next(index for index, request_id in enumerate(ids) if request_id in high)
    return sum(request_id not in high for request_id in ids[first:]) / len(ids[first:])
