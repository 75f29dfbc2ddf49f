"""Adaptive concurrency against a replica on a virtual clock: the same policy code, no waiting."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from broker.scheduling.adaptive import AdaptiveLimit
from broker.scheduling.backoff import Backoff

_REACHED = 0.9
_WINDOW_S = 5.0
_REFUSAL_S = 0.002
_TOKENS = 100


class Mode(Enum):
    """What a replica does with more calls than it can take at once."""

    REFUSES = "refuses"  # 429, at once
    SLOWS = "slows"  # all calls take longer; the answers per second stay the same


@dataclass(frozen=True, slots=True)
class Capacity:
    """For so many seconds, the replica serves so many calls at once."""

    seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Report:
    """How a phase went; shares are of the ideal throughput and of all attempts.

    `settled_share`, `refused_share` and `stretch` (mean time of a call ÷ its time alone) are of its
    second half; `reached_after_s` is when the first 5 s with 90 % of the ideal begin, or None.
    """

    capacity: int
    share: float
    settled_share: float
    refused_share: float
    stretch: float
    reached_after_s: float | None


@dataclass
class Log:
    """When calls were answered, after how long, and when refused. Seconds from the start."""

    answered: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)


def simulate(
    phases: Sequence[Capacity],
    mode: Mode,
    low: int,
    high: int,
    service_s: float,
    *,
    processes: int = 1,
    pause_s: float = 0.0,
    seed: int = 1,
) -> list[Report]:
    """Keep the limits of all processes used for the length of all phases; report each phase."""
    run = _Run(phases, mode, service_s, pause_s, random.Random(seed))
    run.limits = [AdaptiveLimit(low, high) for _ in range(processes)]
    run.to_the_end()
    return reports(run.log, phases, service_s)


def reports(log: Log, phases: Sequence[Capacity], service_s: float) -> list[Report]:
    """Return what the log says of each phase."""
    made, began = [], 0.0
    for phase in phases:
        ideal = phase.calls / service_s
        ended, half = began + phase.seconds, began + phase.seconds / 2
        late, late_refused = _between(log.answered, half, ended), _between(log.refused, half, ended)
        made.append(
            Report(
                phase.calls,
                _between(log.answered, began, ended) / phase.seconds / ideal,
                late / (ended - half) / ideal,
                late_refused / max(1, late + late_refused),
                _mean_took(log, half, ended) / service_s,
                _reached(log, began, ended, ideal),
            )
        )
        began = ended
    return made


def _between(instants: Sequence[float], first: float, last: float) -> int:
    return sum(first <= instant < last for instant in instants)


def _mean_took(log: Log, first: float, last: float) -> float:
    pairs = zip(log.answered, log.took, strict=True)
    took = [seconds for at, seconds in pairs if first <= at < last]
    return sum(took) / max(1, len(took))


def _reached(log: Log, began: float, ended: float, ideal: float) -> float | None:
    for second in range(int(ended - began - _WINDOW_S) + 1):
        window = (began + second, began + second + _WINDOW_S)
        if _between(log.answered, *window) / _WINDOW_S >= _REACHED * ideal:
            return float(second)
    return None


@dataclass(order=True, slots=True)
class _Event:
    at: float
    number: int
    process: int = field(compare=False)
    began: float = field(compare=False)
    in_flight: int = field(compare=False)
    kind: str = field(compare=False)


class _Run:
    def __init__(
        self,
        phases: Sequence[Capacity],
        mode: Mode,
        service_s: float,
        pause_s: float,
        chance: random.Random,
    ) -> None:
        self._phases = phases
        self._mode = mode
        self._service_s = service_s
        self._pause_s = pause_s
        self._chance = chance
        self.limits: list[AdaptiveLimit] = []
        self.log = Log()
        self._events: list[_Event] = []
        self._numbers = itertools.count()
        self._now = 0.0
        self._served = 0

    def to_the_end(self) -> None:
        self._open = [0] * len(self.limits)
        self._paused_until = [0.0] * len(self.limits)
        self._backoffs = [Backoff() for _ in self.limits]
        for process in range(len(self.limits)):
            self._start(process)
        end = sum(phase.seconds for phase in self._phases)
        while self._events and self._events[0].at < end:
            event = heapq.heappop(self._events)
            self._now = event.at
            self._take(event)
            self._start(event.process)

    def _start(self, process: int) -> None:
        limit = self.limits[process]
        while self._open[process] < limit.limit and self._now >= self._resumes_at(process):
            self._open[process] += 1
            capacity = self._capacity()
            if self._mode is Mode.REFUSES and self._served >= capacity:
                self._later(process, _REFUSAL_S * self._chance.random(), "refused")
                continue
            self._served += 1
            load = self._served / capacity if self._mode is Mode.SLOWS else 1.0
            alone = self._service_s * max(0.05, self._chance.gauss(1, 0.2))
            self._later(process, alone * max(1.0, load), "answered")

    def _take(self, event: _Event) -> None:
        if event.kind == "resumes":
            return
        self._open[event.process] -= 1
        limit = self.limits[event.process]
        if event.kind == "answered":
            self._served -= 1
            self.log.answered.append(self._now)
            self.log.took.append(self._now - event.began)
            self._backoffs[event.process].answered()
            limit.answered(event.began, self._now, event.in_flight, "m", _TOKENS)
            return
        self.log.refused.append(self._now)
        limit.refused(event.began, self._now, event.in_flight, self._pause_s)
        backoff = self._backoffs[event.process]
        backoff.refused(event.began, self._now)
        if self._pause_s:
            self._paused_until[event.process] = self._now + self._pause_s
        if (resumes_at := self._resumes_at(event.process)) > self._now:
            self._later(event.process, resumes_at - self._now, "resumes")

    def _resumes_at(self, process: int) -> float:
        return max(self._paused_until[process], self._backoffs[process].until)

    def _later(self, process: int, seconds: float, kind: str) -> None:
        at = self._now + seconds
        event = _Event(at, next(self._numbers), process, self._now, self._open[process], kind)
        heapq.heappush(self._events, event)

    def _capacity(self) -> int:
        left = self._now
        for phase in self._phases:
            if left < phase.seconds:
                return phase.calls
            left -= phase.seconds
        return self._phases[-1].calls
