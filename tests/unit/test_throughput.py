"""How fast a pool starts requests and how long they run, told from starts and ends alone."""

from __future__ import annotations

import random

import pytest

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
    assert stage.throughput.steady_s == {}


def test_of_a_fast_pool_only_the_last_seconds_count() -> None:
    stage = Stage()
    for tick in range(40):
        stage.now = 1_000.0 + tick
        for _ in range(100 if tick < 20 else 20):
            stage.start()
    assert stage.throughput.rate == pytest.approx(20, rel=0.1)


def test_it_is_told_for_how_long_there_have_been_starts() -> None:
    stage = Stage()
    for _ in range(5):
        stage.start()
        stage.now += 50
    assert stage.throughput.steady_s["normal"] == 250.0
    stage.now += 100
    stage.start()
    stage.now += 1
    assert stage.throughput.steady_s["normal"] == 1.0


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
