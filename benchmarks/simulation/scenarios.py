"""The scenarios: what comes in, what is measured, and what must hold."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import merge
from random import Random

from benchmarks.simulation import plots
from benchmarks.simulation.figures import Outcome, jain, quantile, well_told
from benchmarks.simulation.load import Calls, flood, now_and_then, steady
from benchmarks.simulation.requests import Request
from benchmarks.simulation.world import Setting, World
from broker.scheduling.shares import ClassShare
from schemas.priority import Priority


@dataclass(frozen=True, slots=True)
class Run:
    """What the command line asked for."""

    seed: int
    quick: bool


def _together(*parts: Iterable[Request]) -> Iterator[Request]:
    return merge(*parts, key=lambda request: request.accepted_at)


def mixed(run: Run) -> Outcome:
    """Thousands of models and tenants, all four classes, a fifth more than can be served."""
    outcome = Outcome("mixed")
    models, requests = (30, 500) if run.quick else (2_000, 500)
    tenants = [f"tenant {number}" for number in range(5_000)]
    waits: dict[Priority, list[float]] = defaultdict(list)
    for number in range(models):
        random = Random(f"{run.seed} mixed {number}")
        calls = Calls(mean_s=random.choice([0.25, 1.0, 4.0]))
        setting = Setting(slots=random.choice([4, 8, 32]), workers=random.choice([1, 1, 2, 4]))
        capacity = setting.slots / calls.mean_s
        own = [random.choice(tenants) for _ in range(8)]
        loads = {Priority.HIGH: 0.1, Priority.NORMAL: 0.5, Priority.LOW: 0.4, Priority.BATCH: 0.2}
        lasts_s = requests / capacity / sum(loads.values())
        arrivals = _together(
            *(
                steady(random, calls, priority, tenant, rate=rate, lasts_s=lasts_s)
                for priority, load in loads.items()
                for place, tenant in enumerate(own)
                # The second sends half of what the first does, the third a third, and so on.
                if (rate := load * capacity / (place + 1) / _HARMONIC_8)
            )
        )
        for request in World(setting).run(arrivals):
            outcome.requests += 1
            waits[request.priority].append(request.wait_s / calls.mean_s)
    outcome.models = models
    for priority in Priority:
        told = waits[priority]
        value = f"{quantile(told, 0.5):.2f} / {quantile(told, 0.99):.2f} service times"
        outcome.say(f"{priority} waits p50 / p99", value)
    outcome.draw = partial(plots.waits_by_class, waits)
    return outcome


_HARMONIC_8 = sum(1 / (place + 1) for place in range(8))


def backlog(run: Run) -> Outcome:
    """`high` at a tenth of the capacity over half an hour of `low` that is late."""
    outcome = Outcome("backlog")
    calls, slots = Calls(alike=True), 4
    random = Random(f"{run.seed} backlog")
    deep_s = 300.0 if run.quick else 1_800.0
    late = {Priority.LOW: ClassShare(1 / 16, 0.0)}
    low = flood(random, calls, Priority.LOW, "low", requests=int(deep_s * slots), within_s=1.0)
    high = steady(random, calls, Priority.HIGH, "high", rate=0.4, lasts_s=deep_s)
    ended = list(World(Setting(slots, shares=late)).run(_together(low, high)))
    waits = [request.wait_s for request in ended if request.priority is Priority.HIGH]
    outcome.requests = len(ended)
    p99 = quantile(waits, 0.99)
    outcome.say("high waits p50", f"{quantile(waits, 0.5):.2f} s")
    outcome.say("high waits p99", f"{p99:.2f} s", "≤ 1.05 s", p99 <= 1.05)
    return outcome


def quiet(run: Run) -> Outcome:
    """One to five floods and a quiet tenant, for twenty random names."""
    outcome = Outcome("quiet")
    random = Random(f"{run.seed} names")
    count, size = (2, 1_000) if run.quick else (20, 10_000)
    names = ["".join(random.choices(string.ascii_lowercase, k=8)) for _ in range(count)]
    outcome.models = 6 * count
    by_floods: dict[int, list[float]] = {}
    worst = 0.0
    for floods in range(6):
        by_floods[floods] = []
        for name in names:
            waits = _quiet_waits(run, name, floods, size, outcome)
            by_floods[floods] += waits
            if floods:
                worst = max(worst, quantile(waits, 0.95))
    alone = quantile(by_floods[0], 0.95)
    bound = 1.2 * alone + Calls().mean_s
    for floods in range(6):
        told = by_floods[floods]
        value = f"{quantile(told, 0.5):.2f} / {quantile(told, 0.95):.2f} s"
        outcome.say(f"quiet waits p50 / p95, {floods} floods", value)
    outcome.say("worst p95 of all names", f"{worst:.2f} s", f"≤ {bound:.2f} s", worst <= bound)
    outcome.draw = partial(plots.quiet_tenant, by_floods, bound)
    return outcome


def _quiet_waits(run: Run, name: str, floods: int, size: int, outcome: Outcome) -> list[float]:
    random = Random(f"{run.seed} quiet {name} {floods}")
    calls = Calls()
    lasts_s = 120.0 if run.quick else 600.0
    arrivals = _together(
        now_and_then(random, calls, Priority.NORMAL, name, every_s=5.0, lasts_s=lasts_s),
        *(
            flood(random, calls, Priority.NORMAL, f"flood {number}", requests=size)
            for number in range(floods)
        ),
    )
    world = World(Setting())
    waits: list[float] = []
    for request in world.run(arrivals):
        outcome.requests += 1
        if request.tenant == name:
            waits.append(request.wait_s)
        if world.now > lasts_s + 60.0:
            break
    return waits


def saturation(run: Run) -> Outcome:
    """More `high` than can be served, for ever, and a backlog of everything else."""
    outcome = Outcome("saturation")
    calls, capacity = Calls(), 8.0
    random = Random(f"{run.seed} saturation")
    lasts_s = 900.0 if run.quick else 12_000.0
    shares = {
        Priority.NORMAL: ClassShare(1 / 8, 30.0),
        Priority.LOW: ClassShare(1 / 16, 60.0),
        Priority.BATCH: ClassShare(1 / 32, 120.0),
    }
    arrivals = _together(
        *(
            steady(random, calls, each, f"{each} {number}", rate=capacity / 4, lasts_s=lasts_s)
            for each in Priority
            for number in range(5)
        )
    )
    world = World(Setting(slots=8, workers=2, shares=shares))
    started: list[tuple[float, Priority]] = []
    for request in world.run(arrivals):
        started.append((request.started_at, request.priority))
        if world.now > lasts_s:
            break
    outcome.requests = len(started)
    late = Counter(priority for now, priority in started if now > 180.0)
    for priority, share in shares.items():
        found = late[priority] / late.total()
        holds = abs(found - share.share) <= 0.1 * share.share
        gate = f"{share.share:.2%} ± 10 %"
        outcome.say(f"{priority}'s share of starts", f"{found:.2%}", gate, holds)
    outcome.draw = partial(plots.shares_over_time, started, shares)
    return outcome


def beside(run: Run) -> Outcome:
    """Live requests at a tenth of the capacity beside a batch without end, and without it."""
    outcome = Outcome("beside")
    settings = {
        "alone": (Setting(slots=32), False),
        "beside batch that leaves nothing": (Setting(slots=32), True),
        "beside batch with 24 of 32 slots": (Setting(slots=32, batch_slots=24), True),
    }
    waits: dict[str, float] = {}
    for name, (setting, with_batch) in settings.items():
        ended = _beside_batch(run, setting, with_batch=with_batch)
        live = [request.wait_s for request in ended if request.priority is Priority.NORMAL]
        waits[name] = quantile(live, 0.95)
        outcome.requests += len(ended)
        outcome.say(f"live waits p95, {name}", f"{waits[name]:.2f} s")
        if with_batch:
            busy = sum(request.service_s for request in ended) / setting.slots / _lasts_s(run)
            outcome.say(f"slots in use, {name}", f"{busy:.0%}", "≥ 80 %", busy >= 0.8)
    added_s = waits["beside batch with 24 of 32 slots"] - waits["alone"]
    outcome.say("added by batch that leaves 8", f"{added_s:.3f} s", "≤ 0.02 s", added_s <= 0.02)
    return outcome


def _lasts_s(run: Run) -> float:
    return 60.0 if run.quick else 1_000.0


def _beside_batch(run: Run, setting: Setting, *, with_batch: bool) -> list[Request]:
    """Return what had started by the end of the live requests."""
    random, calls, lasts_s = Random(f"{run.seed} beside"), Calls(), _lasts_s(run)
    capacity = setting.slots / calls.mean_s
    live = steady(random, calls, Priority.NORMAL, "live", rate=capacity / 10, lasts_s=lasts_s)
    lines = int(lasts_s * capacity) if with_batch else 0
    batch = flood(
        Random(f"{run.seed} batch"), calls, Priority.BATCH, "batch", requests=lines, within_s=1.0
    )
    world = World(setting)
    ended: list[Request] = []
    for request in world.run(_together(live, batch)):
        if world.now > lasts_s:
            break
        ended.append(request)
    return ended


def floods(run: Run) -> Outcome:
    """Eight tenants that send more than can be served, all alike."""
    outcome = Outcome("floods")
    calls, size = Calls(), 300 if run.quick else 5_000
    random = Random(f"{run.seed} floods")
    arrivals = _together(
        *(
            flood(random, calls, Priority.NORMAL, f"flood {number}", requests=size)
            for number in range(8)
        )
    )
    tokens: Counter[str] = Counter()
    over_time: list[tuple[float, Counter[str]]] = []
    ended = 0
    world = World(Setting(workers=2))
    for request in world.run(arrivals):
        ended += 1
        if ended <= 4 * size:
            tokens[request.tenant] += request.tokens
            if ended % (size // 10) == 0:
                over_time.append((world.now, Counter(tokens)))
    outcome.requests = ended
    index = jain(list(tokens.values()))
    outcome.say("Jain's index in tokens, half-way", f"{index:.4f}", "≥ 0.95", index >= 0.95)
    outcome.draw = partial(plots.equal_floods, over_time)
    return outcome


def eta(run: Run) -> Outcome:
    """A steady load that becomes ten times what can be served: what was told, what came true."""
    outcome = Outcome("eta")
    calls, setting = Calls(), Setting(slots=16, workers=2, tells_eta=True)
    capacity = setting.slots / calls.mean_s
    calm_s, lasts_s = (600.0, 20.0) if run.quick else (3_600.0, 120.0)
    random = Random(f"{run.seed} eta")
    arrivals = _together(
        steady(
            random, calls, Priority.HIGH, "high", rate=0.1 * capacity, lasts_s=calm_s + lasts_s * 12
        ),
        *(
            steady(
                random,
                calls,
                Priority.NORMAL,
                f"quiet {number}",
                rate=0.05 * capacity,
                lasts_s=calm_s + lasts_s * 12,
            )
            for number in range(4)
        ),
        *(
            steady(
                random,
                calls,
                Priority.NORMAL,
                f"flood {number}",
                rate=9.7 * capacity / 4,
                lasts_s=lasts_s,
                begins=calm_s,
            )
            for number in range(4)
        ),
    )
    told = [
        request
        for request in World(setting).run(arrivals)
        if calm_s <= request.accepted_at < calm_s + lasts_s
    ]
    outcome.requests = len(told)
    good = sum(map(well_told, told)) / len(told)
    outcome.say("ETAs within 30 % (1 s below 5 s)", f"{good:.1%}", "≥ 90 %", good >= 0.9)
    outcome.draw = partial(plots.eta_told, told)
    return outcome


SCENARIOS: dict[str, Callable[[Run], Outcome]] = {
    each.__name__: each for each in (mixed, backlog, quiet, saturation, beside, floods, eta)
}
