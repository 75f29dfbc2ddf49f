"""One measured figure and its bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`low` and `high` are the bounds of `value`, inclusive; without them it only informs."""

    what: str
    value: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def met(self) -> bool:
        """Whether the value lies within its bounds."""
        return self.low <= self.value <= self.high

    @property
    def bound(self) -> str:
        """The bounds in words."""
        if self.low == self.high:
            return f"= {self.low:g}"
        parts = [f"≥ {self.low:.4g}"] if self.low > -math.inf else []
        parts += [f"≤ {self.high:.4g}"] if self.high < math.inf else []
        return " and ".join(parts)

    def __str__(self) -> str:
        return f"{self.what}: {self.value:.4g} {self.bound}".rstrip()


def missed(figures: Sequence[Figure]) -> list[str]:
    """Return the figures that lie outside their bounds, as sentences."""
    return [str(figure) for figure in figures if not figure.met]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `percent` of them reach."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index of fairness: 1 where all are equal, 1/n where one has all.

    R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness", DEC TR-301, 1984.
    """
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0
