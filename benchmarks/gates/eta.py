"""The ETA in the 202 against the start that followed, at ten times what the slots can serve."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gates.arrivals import Answered, Arrival, submit
from benchmarks.gates.figures import Figure
from benchmarks.gates.seen import Seen
from benchmarks.gates.stage import Plan, Running, Serving, Stage

_MODEL = "gate-eta"
_TENANTS = ["one", "two", "three", "four"]
_SEED = 20261126
_HEARTBEATS_S = 5.0
_OVERLOAD = 10
_WITHIN, _WITHIN_S, _SHORT_S = 0.3, 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Size:
    """Arrivals for `seconds`; service times are exponential with this mean."""

    slots: int
    mean_ms: int
    seconds: float

    @property
    def capacity(self) -> float:
        """Calls a second."""
        return self.slots * 1000 / self.mean_ms


SHORT = Size(slots=8, mean_ms=200, seconds=2)
LONG = Size(slots=8, mean_ms=400, seconds=15)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return which share of the estimates was near enough."""
    plan = Plan(
        models={_MODEL: Serving(size.slots, f"exp-{size.mean_ms}")},
        tenants={tenant: {} for tenant in _TENANTS},
    )
    load = _poisson(random.Random(_SEED), size)
    with stage.running(plan) as running:
        running.warm()
        # Before its calls have ended and its workers have said so, nobody can tell an ETA.
        _serve_some(running, size)
        answers = submit(running.url, running.keys, load)
        ids = [answer.id for answer in answers]
        seen = running.seen_when(lambda seen: seen.has(ids), 60 + 2 * len(ids) / size.capacity)
    told = [answer for answer in answers if answer.body["eta_s"] is not None]
    good = sum(_near(answer, seen) for answer in told)
    return [
        Figure("share of ETAs that came true", good / len(answers), low=0.9),
        Figure("202s without an ETA", len(answers) - len(told)),
        Figure("requests", len(answers), low=1),
        *_quotients(told, seen),
    ]


def _serve_some(running: Running, size: Size) -> None:
    first = [Arrival(0.0, _MODEL, _TENANTS[0])] * (4 * size.slots)
    ids = [answer.id for answer in submit(running.url, running.keys, first)]
    running.seen_when(lambda seen: seen.ended(ids), 60)
    time.sleep(_HEARTBEATS_S)


def _poisson(draw: random.Random, size: Size) -> list[Arrival]:
    arrivals: list[Arrival] = []
    at = draw.expovariate(size.capacity * _OVERLOAD)
    while at < size.seconds:
        arrivals.append(Arrival(at, _MODEL, draw.choice(_TENANTS)))
        at += draw.expovariate(size.capacity * _OVERLOAD)
    return arrivals


def _near(answer: Answered, seen: Seen) -> bool:
    eta_s = float(answer.body["eta_s"])
    off_s = abs(seen.wait_s(answer.id, answer.accepted_at) - eta_s)
    return off_s <= (_WITHIN_S if eta_s < _SHORT_S else _WITHIN * eta_s)


def _quotients(told: Sequence[Answered], seen: Seen) -> list[Figure]:
    """Return the actual wait ÷ the ETA, for what it tells about which way it errs."""
    quotients = sorted(
        seen.wait_s(answer.id, answer.accepted_at) / answer.body["eta_s"]
        for answer in told
        if answer.body["eta_s"] >= _SHORT_S
    )
    if not quotients:
        return []
    tenth = len(quotients) // 10
    return [
        Figure("  wait ÷ ETA from 5 s on, lowest tenth", quotients[tenth]),
        Figure("  median", quotients[len(quotients) // 2]),
        Figure("  highest tenth", quotients[-tenth - 1]),
    ]
