"""The simulation runs the real policy, tells the same of the same seed, and keeps its gates."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from random import Random

import pytest

from benchmarks.simulation.figures import jain, quantile, well_told
from benchmarks.simulation.load import Calls, flood, steady
from benchmarks.simulation.requests import Request
from benchmarks.simulation.scenarios import SCENARIOS, Run
from benchmarks.simulation.world import Setting, World
from schemas.priority import Lane, Priority


def arrivals(seed: int) -> Iterator[Request]:
    random, calls = Random(seed), Calls()
    return merge(
        flood(random, calls, Priority.NORMAL, "flood", requests=200),
        steady(random, calls, Priority.NORMAL, "quiet", rate=0.5, lasts_s=30),
        steady(random, calls, Priority.HIGH, "quiet", rate=0.5, lasts_s=30),
        key=lambda request: request.accepted_at,
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_every_request_is_served_once_and_no_slot_is_idle_while_one_waits(workers: int) -> None:
    sent = list(arrivals(1))
    ended = list(World(Setting(slots=4, workers=workers)).run(sent))
    assert sorted(map(id, ended)) == sorted(map(id, sent))
    events = sorted(
        [(request.started_at, 1) for request in ended]
        + [(request.started_at + request.service_s, -1) for request in ended]
    )
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    assert most == 4
    served_s = sum(request.service_s for request in ended)
    assert max(request.started_at for request in ended) <= served_s / 4


def test_a_flood_waits_in_its_own_lane() -> None:
    ended = list(World(Setting(slots=4)).run(arrivals(1)))
    lanes = {(request.tenant, request.lane) for request in ended}
    assert lanes == {("flood", Lane.OPEN), ("flood", Lane.FLOOD), ("quiet", Lane.OPEN)}
    quiet = [request.wait_s for request in ended if request.tenant == "quiet"]
    assert max(quiet) < 5.0 < max(request.wait_s for request in ended)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_keeps_its_gates_and_tells_the_same_again(name: str) -> None:
    first, second = (SCENARIOS[name](Run(seed=1, quick=True)) for _ in range(2))
    assert first.figures == second.figures
    assert first.requests > 1_000
    missed = [figure for figure in first.figures if figure.holds is False]
    assert not missed


def test_quantile_and_index_are_what_they_are_called() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([], 0.5) == 0.0
    assert jain([1, 1]) == 1.0
    assert jain([1, 0]) == 0.5


@pytest.mark.parametrize(
    ("eta_s", "wait_s", "good"),
    [(None, 1, False), (3.9, 3, True), (4.1, 3, False), (13, 10, True), (13.1, 10, False)],
)
def test_an_eta_is_good_within_30_percent_or_a_second(
    eta_s: float | None, wait_s: float, good: bool
) -> None:
    request = Request(Priority.NORMAL, "a", 0.0, 1.0, started_at=wait_s, eta_s=eta_s)
    assert well_told(request) is good
