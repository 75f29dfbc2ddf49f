"""The living processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

HORIZONS_S = (15.0, 60.0, 240.0, 960.0, 3_840.0)


@dataclass(frozen=True, slots=True)
class Served:
    """A model as the workers serve it now.

    `running` counts requests in their hands, `unstarted` deliveries that wait in their windows.
    `rate` is starts per second of late. The maps are by priority, and by lane of one ("low flood"):
    `heads` says when the newest of the started had been accepted (Unix s), `rates` are starts per
    second of late, `lately` about how many were started in the last of each of `HORIZONS_S`,
    `densities` how many a second had been accepted at the time that the head is from. Until
    `closed_until` (Unix s) a limit that all share, `closed_by`, lets nothing start.
    `service_s` is how long a call lasts on average; None before one has ended.
    """

    model: str
    slots: int
    running: int = 0
    unstarted: int = 0
    rate: float = 0.0
    heads: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    service_s: float | None = None
    lately: Mapping[str, Sequence[float]] = field(default_factory=dict)
    densities: Mapping[str, float] = field(default_factory=dict)
    closed_until: float = 0.0
    closed_by: str = ""


class Members(Protocol):
    """The living processes and the models they serve."""

    async def beat(self, role: str, serves: Sequence[Served]) -> None:
        """Say that this process is alive for 8 s more, and what it serves."""

    async def last_beat(self, owner: str) -> float | None:
        """Return the seconds since `owner` was last heard of; None when it is dead."""

    async def served(self) -> list[Served]:
        """Return each served model once; the most slots any worker says, the rest summed."""

    async def leave(self) -> None:
        """Say that this process ends; its requests may be taken over at once."""
