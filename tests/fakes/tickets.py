"""What waits in the tests of the order: no envelope, only what the order looks at."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from broker.scheduling.shares import ClassShare, shares_of
from schemas.limits import SchedulingConfig
from schemas.priority import Priority

SHARES: dict[Priority, ClassShare] = shares_of(SchedulingConfig())


@dataclass(eq=False, slots=True)
class Ticket:
    """A request as the order sees it; equal only to itself."""

    priority: Priority = Priority.NORMAL
    tenant: str = "a"
    accepted_at: float = 0.0
    due: float = 0.0
    cost: float = 1.0


def one_weight(_tenant: str) -> float:
    """Every tenant counts alike."""
    return 1.0


tickets = st.builds(
    Ticket,
    st.sampled_from(Priority),
    st.sampled_from("abcd"),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(0, 50),
)
