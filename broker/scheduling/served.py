"""What the living processes serve, as one line a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from operator import add

from broker.ports import Served


def merge_served(parts: Iterable[Served]) -> list[Served]:
    """Return each model once, in the order of its first part.

    Slots belong to the backends, so every worker says the same, but for one that has just read
    another configuration: the most counts. The rest is each worker's own and is summed.
    """
    models: dict[str, Served] = {}
    for part in parts:
        known = models.get(part.model)
        models[part.model] = part if known is None else _together(known, part)
    return list(models.values())


def _together(known: Served, part: Served) -> Served:
    closed = max(known, part, key=lambda each: each.closed_until)
    return replace(
        known,
        closed_until=closed.closed_until,
        closed_by=closed.closed_by,
        slots=max(known.slots, part.slots),
        running=known.running + part.running,
        unstarted=known.unstarted + part.unstarted,
        rate=known.rate + part.rate,
        heads=_by_line(max, known.heads, part.heads),
        rates=_by_line(add, known.rates, part.rates),
        service_s=_service_s(known, part),
        densities=_by_line(add, known.densities, part.densities),
        lately={
            line: tuple(map(sum, zip_longest(*parts, fillvalue=0.0)))
            for line in {**known.lately, **part.lately}
            if (parts := [each.lately.get(line, ()) for each in (known, part)])
        },
    )


def _by_line(
    both: Callable[[float, float], float], known: Mapping[str, float], part: Mapping[str, float]
) -> dict[str, float]:
    return {key: both(known.get(key, 0.0), part.get(key, 0.0)) for key in {**known, **part}}


def _service_s(known: Served, part: Served) -> float | None:
    """Return the mean over both: so many run together as end at both rates together."""
    parts = [(max(each.running, 1), each.service_s) for each in (known, part) if each.service_s]
    if not parts:
        return None
    return sum(running for running, _ in parts) / sum(running / mean for running, mean in parts)
