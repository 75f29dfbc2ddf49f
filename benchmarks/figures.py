"""What the runs say: quotients round by round, the aims, and whether the run counts at all."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.rounds import CONTROL, Row, Run, Runs
from benchmarks.systems import EMBEDDED, FLOOR, REAL, REFERENCE

# A hand-written aio-pika pipeline reaches 0.55 of the same pipeline on a raw AMQP protocol.
REFERENCE_TO_FLOOR = (0.45, 0.65)
MAIN_ROW = Row(0, "everysec")


@dataclass(frozen=True, slots=True)
class Quotient:
    """A figure over another of the same round: median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that is aimed at; `bound` is its lowest value, or its highest if `at_most`."""

    what: str
    row: Row
    value: Quotient
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the median reaches the bound."""
        return self.value.median <= self.bound if self.at_most else self.value.median >= self.bound


def quotient(upper: list[Run], lower: list[Run], figure: Callable[[Run], float]) -> Quotient:
    """Return `upper` ÷ `lower`, each round by itself."""
    values = [figure(one) / figure(other) for one, other in zip(upper, lower, strict=True)]
    return Quotient(statistics.median(values), min(values), max(values))


def median(runs: Iterable[Run], figure: Callable[[Run], float]) -> float:
    """Return the median of a figure."""
    return statistics.median(map(figure, runs))


def control(runs: Runs) -> Quotient:
    """Return the reference ÷ itself: how far two equal things lie apart in this run."""
    return quotient(runs[CONTROL], runs[REFERENCE], _rate)


def to_floor(runs: Runs) -> Quotient:
    """Return the reference ÷ the floor."""
    return quotient(runs[REFERENCE], runs[FLOOR], _rate)


def cpu_to_floor(runs: Runs) -> Quotient:
    """Return the floor's CPU ÷ the reference's, which other load on the machine moves least."""
    return quotient(runs[FLOOR], runs[REFERENCE], _cpu)


def aims(rows: Mapping[Row, Runs]) -> list[Aim]:
    """Return what is aimed at in the rows that were measured."""
    return [aim for row, runs in rows.items() for aim in _aims(row, runs)]


def voided(rows: Mapping[Row, Runs]) -> str | None:
    """Return why the run says nothing, if the reference is not what it claims to be."""
    if MAIN_ROW not in rows:
        return None
    found, (low, high) = to_floor(rows[MAIN_ROW]), REFERENCE_TO_FLOOR
    if low <= found.median <= high:
        return None
    return f"reference ÷ floor is {found}, not {low} to {high}: the reference is no measure here"


def _aims(row: Row, runs: Runs) -> list[Aim]:
    to_reference = quotient(runs[REAL], runs[REFERENCE], _rate)
    if row.wait_ms:
        return [Aim("req/s ÷ reference, 64 slots", row, to_reference, 0.95)]
    cpu = quotient(runs[REAL], runs[REFERENCE], _cpu)
    engines = quotient(runs[EMBEDDED], runs[REAL], _rate)
    return [
        Aim("req/s ÷ reference, RabbitMQ + Redis, durable", row, to_reference, 0.65),
        Aim("CPU s per 1,000, all parts ÷ reference", row, cpu, 1.6, at_most=True),
        Aim("req/s embedded, FULL ÷ RabbitMQ + Redis", row, engines, 1.0),
    ]


def _rate(run: Run) -> float:
    return run.per_s


def _cpu(run: Run) -> float:
    return run.cpu_all_s
