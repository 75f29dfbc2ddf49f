"""What a scenario found: figures, and whether they keep their gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.simulation.requests import Request


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; `holds` is None where nothing is asked of it."""

    what: str
    value: str
    gate: str = ""
    holds: bool | None = None


@dataclass(slots=True)
class Outcome:
    """The figures of one scenario, how much it took, and what draws its plot into a directory."""

    scenario: str
    figures: list[Figure] = field(default_factory=list)
    requests: int = 0
    models: int = 1
    draw: Callable[[Path], Path] | None = None

    def say(self, what: str, value: str, gate: str = "", holds: bool | None = None) -> None:
        """Add a figure."""
        self.figures.append(Figure(what, value, gate, holds))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all are not above; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def jain(values: Sequence[float]) -> float:
    """Return Jain's index of fairness: 1 where all have the same, 1/n where one has all."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


def well_told(request: Request) -> bool:
    """Tell whether its ETA was within 30 % of its wait, or within 1 s below 5 s."""
    if request.eta_s is None:
        return False
    allowed_s = 1.0 if request.wait_s < 5.0 else 0.3 * request.wait_s
    return abs(request.eta_s - request.wait_s) <= allowed_s
