"""Interleaved rounds: in each, every system does the same job, and the reference does it twice.

Nothing is measured while anything else of the benchmark runs. What a system's idle neighbours cost
(heartbeats, a keeper's look at its queues) lies on all systems alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.client import Job
from benchmarks.servers import Aof, Servers
from benchmarks.systems import IN_FLIGHT, REFERENCE, System, model_name
from benchmarks.usage import cpu_s, pss_mib

CONTROL = "reference again"
_WARM_UP = 4 * IN_FLIGHT


class Void(Exception):
    """Why a run says nothing, as a sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """The circumstances of a comparison: how long the backend takes, and when Redis syncs."""

    wait_ms: int
    aof: Aof

    def __str__(self) -> str:
        return f"backend {self.wait_ms} ms, AOF {self.aof}"


@dataclass(frozen=True, slots=True)
class Run:
    """One system in one round: CPU in seconds per 1,000 requests, latency without the backend's."""

    completed: int
    per_s: float
    added_p50_ms: float
    added_p99_ms: float
    cpu_s: dict[str, float]
    pss_mib: dict[str, float]
    driver_cpu_s: dict[str, float]

    @property
    def cpu_all_s(self) -> float:
        """What all parts of the system used together."""
        return sum(self.cpu_s.values())


Runs = dict[str, list[Run]]


def measure(
    servers: Servers,
    systems: Sequence[System],
    row: Row,
    rounds: int,
    requests: int,
    progress: Callable[[str], None],
) -> Runs:
    """Return each system's runs under `row`. Raises Void at the first wrong answer."""
    servers.set_aof(row.aof)
    reference = next(system for system in systems if system.name == REFERENCE)
    order = [*((system.name, system) for system in systems), (CONTROL, reference)]
    runs: Runs = {name: [] for name, _ in order}
    for number in range(1, rounds + 1):
        for name, system in order:
            progress(f"{row}: round {number} of {rounds}, {name}")
            runs[name].append(_run(servers, system, row.wait_ms, requests))
    return runs


def _run(servers: Servers, system: System, wait_ms: int, requests: int) -> Run:
    model = model_name(wait_ms)
    drivers = {"client": servers.client.pid, "backend": servers.backend.pid}
    warm_up = servers.client.run(Job(system.port, model, _WARM_UP, IN_FLIGHT))
    before, drivers_before = cpu_s(system.parts), cpu_s(drivers)
    outcome = servers.client.run(Job(system.port, model, requests, IN_FLIGHT))
    after, drivers_after = cpu_s(system.parts), cpu_s(drivers)
    for told, wanted in ((warm_up, _WARM_UP), (outcome, requests)):
        if told.error is not None or told.completed != wanted:
            found = f"{told.completed} of {wanted} completed: {told.error}"
            raise Void(f"{system.name}: {found}\n{system.logs()}")
    return Run(
        completed=outcome.completed,
        per_s=outcome.completed / outcome.seconds,
        added_p50_ms=outcome.p50_ms - wait_ms,
        added_p99_ms=outcome.p99_ms - wait_ms,
        cpu_s=_per_1000(before, after, requests),
        pss_mib=pss_mib(system.parts),
        driver_cpu_s=_per_1000(drivers_before, drivers_after, requests),
    )


def _per_1000(before: dict[str, float], after: dict[str, float], requests: int) -> dict[str, float]:
    return {name: (after[name] - before[name]) * 1000 / requests for name in before}
