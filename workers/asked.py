"""How many starts a pool asks a backend for at once.

A full backend grants one slot at a time: asking for many each time would cost more than it gives.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

MOST = 32
_FEWEST = 2


@dataclass(slots=True)
class Pace:
    """Until the Unix second `closed_until` no class from `closed_from` on can start anything.

    `closed_by` names the limit that says so.
    """

    size: int = MOST
    closed_until: float = 0.0
    closed_by: str = ""
    closed_from: int = 0

    def came(self, rank: int) -> None:
        """One of this class waits now: a higher one than those that were told to wait may start."""
        if rank < self.closed_from:
            self.closed_until = 0.0

    def answered(self, granted: int, *, all_granted: bool) -> None:
        """Learn from an answer: ask for twice what could start."""
        self.size = min(MOST, max(_FEWEST, 2 * granted, 2 * self.size if all_granted else 0))


class Asked:
    """The pace of each backend."""

    def __init__(self) -> None:
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)

    def __getitem__(self, backend: str) -> Pace:
        return self._paces[backend]

    def forget(self) -> None:
        """Start anew: limits have changed."""
        self._paces.clear()
