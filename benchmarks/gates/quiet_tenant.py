"""A tenant that floods moves nobody else's wait, whatever the tenants are called."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gates.arrivals import Answered, Arrival, every, submit
from benchmarks.gates.backlog import Old, evenly
from benchmarks.gates.figures import Figure, percentile
from benchmarks.gates.seen import Seen
from benchmarks.gates.stage import Plan, Running, Serving, Stage
from schemas.priority import Lane, Priority

_ALONE = "gate-alone"
_SLOTS, _SERVICE_MS = 4, 100
# A tenth of the capacity.
_EVERY_S = _SERVICE_MS / 1000 / _SLOTS * 10
_MOST_FLOODERS = 5


@dataclass(frozen=True, slots=True)
class Size:
    """`choices` of names, so many of them at once; each flooder has `requests` waiting.

    What waits in the open lane, up to 32 of each flooder, stands in front of the quiet tenants
    (PROTOCOL 2): they come once that has begun, or `open_lane_s` after the workers. `noise_s` is
    what a machine that is busy with other things may add to a wait.
    """

    choices: int
    at_once: int
    requests: int
    seconds: float
    open_lane_s: float = 0.0
    noise_s: float = 0.0


SHORT = Size(choices=3, at_once=3, requests=600, seconds=5, open_lane_s=20, noise_s=0.5)
LONG = Size(choices=20, at_once=5, requests=10_000, seconds=120)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model of its own on which `quiet` meets the flooders."""

    model: str
    quiet: str
    flooders: Sequence[str]


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return the quiet tenant's p95 for every choice of names, beside its p95 alone."""
    seed = random.randrange(10_000)
    choices = _choices(random.Random(seed), size.choices)
    figures = [Figure("seed of the names", seed)]
    for start in range(0, len(choices), size.at_once):
        figures += _side_by_side(stage, choices[start : start + size.at_once], size)
    return figures


def _choices(draw: random.Random, count: int) -> list[Choice]:
    """Return choices with 1 to 5 flooders, all of them if there are enough choices."""
    counts = [1, 3, 5] if count == 3 else [1 + n % _MOST_FLOODERS for n in range(count)]
    return [
        Choice(f"gate-quiet-{number}", _name(draw), [_name(draw) for _ in range(flooders)])
        for number, flooders in enumerate(counts)
    ]


def _name(draw: random.Random) -> str:
    letters = string.ascii_lowercase + string.digits
    return "".join(draw.choices(letters, k=draw.randint(3, 12)))


def _side_by_side(stage: Stage, choices: Sequence[Choice], size: Size) -> list[Figure]:
    serving = Serving(_SLOTS, f"slow-{_SERVICE_MS}")
    plan = Plan(
        models=dict.fromkeys([_ALONE, *(choice.model for choice in choices)], serving),
        tenants={tenant: {} for tenant in ["alone", *(choice.quiet for choice in choices)]},
        waiting=lambda: [old for choice in choices for old in _flood(choice, size)],
    )
    calls = [(_ALONE, "alone"), *((choice.model, choice.quiet) for choice in choices)]
    load = [
        arrival
        for model, tenant in calls
        for arrival in every(_EVERY_S, size.seconds, Arrival(0.0, model, tenant))
    ]
    with stage.running(plan) as running:
        running.warm()
        in_front = [each.id for each in running.waiting if each.lane is Lane.OPEN]
        running.seen_when(lambda seen: seen.has(in_front), size.open_lane_s)
        answers = submit(running.url, running.keys, load)
        ids = [answer.id for answer in answers]
        seen = running.seen_when(lambda seen: seen.has(ids), 5)
    alone_s = percentile(_waits(seen, answers, _ALONE), 95)
    bound = 1.2 * alone_s + seen.service_s() + size.noise_s
    figures = [Figure("p95 alone, s", alone_s)]
    for choice in choices:
        p95 = percentile(_waits(seen, answers, choice.model), 95)
        words = f"{choice.quiet} beside floods of {', '.join(choice.flooders)}"
        figures.append(Figure(f"p95 of {words}, s", p95, high=bound))
        figures.append(Figure("  requests of the flood left", _left(running, seen, choice), low=1))
    return figures


def _flood(choice: Choice, size: Size) -> list[Old]:
    """Return the floods, which have all come in during the last minute, before the quiet one."""
    now = time.time()
    floods = [Old(choice.model, name, Priority.NORMAL, now - 60) for name in choice.flooders]
    return [old for flood in floods for old in evenly(flood, size.requests, now)]


def _waits(seen: Seen, answers: Sequence[Answered], model: str) -> list[float]:
    own = [answer for answer in answers if answer.arrival.model == model]
    return [seen.wait_s(answer.id, answer.accepted_at) for answer in own]


def _left(running: Running, seen: Seen, choice: Choice) -> int:
    """Return how much of the flood had not begun when the last was looked at."""
    of_model = [envelope.id for envelope in running.waiting if envelope.model == choice.model]
    return len(of_model) - len(seen.of(of_model).starts)
