"""What waits in the simulation, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.priority import Lane, Priority


@dataclass(slots=True, eq=False)
class Request:
    """One request. Instants and durations in virtual seconds, `cost` in tokens.

    `service_s` and `output_tokens` are what its call will turn out to take; `started_at` and the
    `eta_s` told at its acceptance are filled in on the way.
    """

    priority: Priority
    tenant: str
    accepted_at: float
    service_s: float
    input_tokens: int = 100
    output_tokens: int = 100
    lane: Lane = Lane.OPEN
    due: float = 0.0
    cost: float = 1.0
    started_at: float = -1.0
    eta_s: float | None = None

    @property
    def wait_s(self) -> float:
        """How long it waited for its start."""
        return self.started_at - self.accepted_at

    @property
    def tokens(self) -> int:
        """What its call took."""
        return self.input_tokens + self.output_tokens
