"""Buckets: never more than one minute's worth and the time's, whatever is given back."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.scheduling.rates import GRAIN_S, Bucket, charge, give_back, opens

RATE = 60.0  # one a second
COSTS = st.floats(0.1, 60)
GAPS = st.floats(0, 40)


@dataclass
class Started:
    at: float
    cost: float


@dataclass
class History:
    """A bucket, and what has started and was not taken back."""

    bucket: Bucket = field(default_factory=Bucket)
    started: list[Started] = field(default_factory=list)
    now: float = 1_000.0

    def start(self, cost: float) -> bool:
        if opens(self.bucket.full_at, RATE, cost, 0, self.now) > self.now + GRAIN_S:
            return False
        charge(self.bucket, RATE, cost, self.now)
        self.started.append(Started(self.now, cost))
        return True

    def take_back(self, which: int, share: float) -> None:
        one = self.started[which % len(self.started)]
        give_back(self.bucket, RATE, one.cost * share, one.at)
        one.cost *= 1 - share

    def check(self) -> None:
        slack = 1e-3
        for index, first in enumerate(self.started):
            total = 0.0
            for other in self.started[index:]:
                total += other.cost
                assert total <= RATE + RATE / 60 * (other.at - first.at) + slack


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), GAPS, st.none()),
        st.tuples(st.just("start"), COSTS, st.none()),
        st.tuples(st.just("take back"), st.integers(0, 50), st.sampled_from([0.3, 1.0])),
    ),
    max_size=60,
)


@given(STEPS)
def test_what_starts_never_exceeds_a_bucket_and_its_refill(
    steps: list[tuple[str, float, float]],
) -> None:
    history = History()
    for step, value, share in steps:
        if step == "pass":
            history.now += value
        elif step == "start":
            history.start(value)
        elif history.started:
            history.take_back(int(value), share)
    history.check()


@given(st.lists(st.tuples(COSTS, st.floats(0, 30)), max_size=30), COSTS)
def test_what_is_taken_back_at_once_was_never_asked(
    earlier: list[tuple[float, float]], cost: float
) -> None:
    history = History()
    for other, gap in earlier:
        history.start(other)
        history.now += gap
    before = history.bucket.full_at
    if history.start(cost):
        history.take_back(len(history.started) - 1, 1.0)
        assert (
            max(history.bucket.full_at, history.now) == max(before, history.now)
            or abs(history.bucket.full_at - max(before, history.now)) < 1e-6
        )


def test_a_busy_bucket_gives_back_what_a_long_call_did_not_use() -> None:
    """Under load nothing overflows, so that an estimate is corrected however long the call took."""
    history = History()
    while history.start(1.0):
        pass
    history.now += 20
    while history.start(0.9):
        pass
    marked = len(history.started)
    for _ in range(200):
        history.now += 1
        history.start(1.0)
    full_at = history.bucket.full_at
    history.take_back(marked, 0.5)
    assert abs(full_at - history.bucket.full_at - 0.5) < 1e-6


def test_what_overflowed_since_is_nobodys() -> None:
    history = History()
    assert history.start(60)
    history.now += 59
    assert history.start(30)
    history.take_back(0, 1.0)
    assert not history.start(31.5)
    history.check()


def test_one_larger_than_the_bucket_goes_when_that_is_full() -> None:
    bucket = Bucket()
    assert opens(bucket.full_at, RATE, 90, 0, 1_000) == 1_000
    charge(bucket, RATE, 90, 1_000)
    assert opens(bucket.full_at, RATE, 90, 0, 1_000) == 1_090
    assert opens(bucket.full_at, RATE, 1, 0, 1_000) == 1_031


def test_the_history_of_a_bucket_stays_small() -> None:
    history = History()
    for step in range(5_000):
        history.now += (step % 97) / 60
        while history.start(0.7):
            pass
    assert len(history.bucket.lows) < 20
    assert all(one[1] < other[1] for one, other in pairwise(history.bucket.lows))
