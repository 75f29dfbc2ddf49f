"""Over `rpm` and `max_parallel_requests` of a tenant requests wait; none is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gates.arrivals import Answered, Arrival, submit
from benchmarks.gates.figures import Figure
from benchmarks.gates.seen import Seen
from benchmarks.gates.stage import Plan, Serving, Stage
from broker.topology import tier_for
from schemas.record import Record

_METERED, _CAPPED = "gate-metered", "gate-capped"
_RPM, _CAP = 600, 3
_MOST_PUBLISHES = 15
# Between a start's reservation and the moment the backend sees its call.
_ON_THE_WAY_S = 0.5


@dataclass(frozen=True, slots=True)
class Size:
    """`metered` requests of a tenant with an `rpm` of 600, `capped` of one that may run three."""

    metered: int
    capped: int


# Its first 600 spend the bucket.
SHORT = Size(metered=700, capped=24)
LONG = Size(metered=10_000, capped=2_000)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return what the backend saw of both tenants."""
    plan = Plan(
        models={_METERED: Serving(64, "slow-20"), _CAPPED: Serving(16, "slow-100")},
        tenants={"metered": {"rpm": _RPM}, "capped": {"max_parallel_requests": _CAP}},
    )
    load = [Arrival(0.0, _METERED, "metered")] * size.metered
    load += [Arrival(0.0, _CAPPED, "capped")] * size.capped
    with stage.running(plan) as running:
        running.warm()
        answers = submit(running.url, running.keys, load)
        # Once its bucket is spent, so that its turns are known.
        running.seen_when(lambda seen: len(seen.calls) >= _RPM + size.capped // 2, 20)
        (hurried,) = submit(running.url, running.keys, [_hurried()])
        accepted = [answer for answer in answers if answer.status == 202]
        ids = [answer.id for answer in accepted]
        seen = running.seen_when(lambda seen: seen.ended(ids), 60 + size.metered / _RPM * 60)
        records = running.records(ids)
    completed = sum(record.status == "completed" for record in records)
    capped = _of(seen, accepted, _CAPPED)
    return [
        Figure("refused although their deadline holds", len(answers) - len(accepted), high=0),
        Figure("answer to one whose deadline cannot be met", hurried.status, 429, 429),
        Figure("completed", completed, low=len(answers)),
        Figure("most publishes over a rate", _publishes(records, _METERED), high=_MOST_PUBLISHES),
        Figure("most publishes over a cap", _publishes(records, _CAPPED), high=_MOST_PUBLISHES),
        Figure("most open calls of the capped tenant", capped.most_open(), 1, _CAP),
        Figure("share of its cap that it used", capped.busy() / _CAP, low=0.25),
        *_metered(_of(seen, accepted, _METERED), records),
    ]


def _publishes(records: Sequence[Record], model: str) -> int:
    return max(record.generation + 1 for record in records if record.model == model)


def _hurried() -> Arrival:
    """One that comes behind all the others and has only two seconds."""
    return Arrival(0.0, _METERED, "metered", timeout_s=2)


def _of(seen: Seen, answers: Sequence[Answered], model: str) -> Seen:
    return seen.of([answer.id for answer in answers if answer.arrival.model == model])


def _metered(seen: Seen, records: Sequence[Record]) -> list[Figure]:
    lasted_s = max(seen.starts.values()) - min(seen.starts.values())
    late = [_late(seen.starts[each.id], each) for each in records if each.id in seen.starts]
    above = seen.most_above_rate(_RPM / 60)
    allowed = _RPM + _ON_THE_WAY_S * _RPM / 60
    over_s = (len(seen.starts) - _RPM) * 60 / _RPM
    return [
        Figure("most starts above the rate in any interval", above, high=allowed),
        Figure("from the first to the last start, s", lasted_s, high=over_s * 1.1 + 5),
        Figure("started over a tier away from their turn", sum(by > 1 for by in late), high=0),
        Figure("  farthest from its turn, in tiers", max(late)),
        Figure("  started over a tier from where they were accepted", _overtaken(seen, records)),
    ]


def _late(start: float, record: Record) -> float:
    """Return how far from its booked turn one started, in tiers that it can have waited in."""
    if record.not_before is None:
        return 0.0
    wait_s = record.not_before - record.accepted_at
    return abs(start - record.not_before) / tier_for(wait_s).delay_s


def _overtaken(seen: Seen, records: Sequence[Record]) -> int:
    """Return how many started far from where they would by acceptance: a flood meets two lanes."""
    accepted = sorted(
        (each for each in records if each.id in seen.starts), key=lambda each: each.accepted_at
    )
    due = sorted(seen.starts.values())
    return sum(
        abs(seen.starts[record.id] - at) > tier_for(at - record.accepted_at).delay_s
        for record, at in zip(accepted, due, strict=True)
    )
