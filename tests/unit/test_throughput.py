"""How fast a pool starts requests and how long they run, told from starts and ends alone."""

from __future__ import annotations

import random

import pytest

from broker.ports.members import HORIZONS_S
from schemas.priority import Lane, Priority
from workers.throughput import WINDOW_S, Throughput


class Stage:
    """A pool whose clock stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.throughput = Throughput(lambda: self.now)

    def start(self, priority: Priority = Priority.NORMAL, lane: Lane = Lane.OPEN) -> None:
        self.throughput.started(priority, self.now, lane)

    def run_steadily(self, slots: int, seconds: float, service_s: float) -> None:
        """Keep `slots` busy with calls of random length, from a start with all of them free."""
        drawn = random.Random(1)
        ends = []
        until = self.now + seconds
        for _ in range(slots):
            self.start()
            ends.append(self.now + drawn.expovariate(1 / service_s))
        while min(ends) < until:
            self.now = min(ends)
            ends.remove(self.now)
            self.throughput.ended()
            self.start()
            ends.append(self.now + drawn.expovariate(1 / service_s))
        self.now = until


def test_nothing_is_told_before_the_first_start_and_the_first_end() -> None:
    stage = Stage()
    assert (stage.throughput.rate, stage.throughput.rates) == (0.0, {})
    stage.start()
    assert stage.throughput.service_s is None


def test_starts_are_counted_by_class_and_by_lane() -> None:
    stage = Stage()
    for second in range(10):
        stage.now = 1_000.0 + second
        stage.start(Priority.HIGH)
        stage.start(Priority.LOW)
        stage.start(Priority.LOW, Lane.FLOOD)
    stage.now = 1_010.0
    assert stage.throughput.rate == pytest.approx(3.0)
    assert stage.throughput.rates == pytest.approx(
        {"high": 1.0, "high open": 1.0, "low": 2.0, "low open": 1.0, "low flood": 1.0}
    )
    assert stage.throughput.heads["low flood"] == 1_009.0


def test_old_starts_are_forgotten() -> None:
    stage = Stage()
    stage.start()
    stage.now += WINDOW_S + 1
    assert stage.throughput.rate == 0.0


def test_of_a_fast_pool_only_the_last_seconds_count() -> None:
    stage = Stage()
    for tick in range(40):
        stage.now = 1_000.0 + tick
        for _ in range(100 if tick < 20 else 20):
            stage.start()
    assert stage.throughput.rate == pytest.approx(20, rel=0.1)


def test_it_is_told_how_many_were_started_within_several_horizons() -> None:
    stage = Stage()
    for _ in range(120):
        stage.start(Priority.HIGH)
        stage.now += 1
    shortest, *_, longest = stage.throughput.lately["high open"]
    assert shortest == pytest.approx(HORIZONS_S[0], rel=0.05)
    assert longest == pytest.approx(120, rel=0.05)
    stage.now += 10 * HORIZONS_S[0]
    assert stage.throughput.lately["high"][0] == pytest.approx(0.0, abs=0.01)


def test_it_is_told_how_dense_the_started_had_come_in() -> None:
    stage = Stage()
    for number in range(20):
        assert ("low open" in stage.throughput.densities) == (number >= 8)
        stage.throughput.started(Priority.LOW, 500.0 + number / 10, Lane.OPEN)
        stage.now += 1
    assert stage.throughput.densities["low open"] == pytest.approx(10, rel=0.1)


def test_the_mean_time_of_service_is_true_right_after_a_start_up() -> None:
    """When half a service time has passed, those that ended took a fifth of it on average."""
    stage = Stage()
    stage.run_steadily(slots=400, seconds=5.0, service_s=10.0)
    assert stage.throughput.service_s == pytest.approx(10.0, rel=0.25)


def test_the_mean_time_of_service_follows_what_the_backend_does() -> None:
    stage = Stage()
    stage.run_steadily(slots=8, seconds=300.0, service_s=1.0)
    assert stage.throughput.service_s == pytest.approx(1.0, rel=0.25)
    for _ in range(8):
        stage.throughput.ended()
    stage.run_steadily(slots=8, seconds=1_200.0, service_s=4.0)
    assert stage.throughput.service_s == pytest.approx(4.0, rel=0.25)
