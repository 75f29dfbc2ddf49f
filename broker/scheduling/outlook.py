"""How long a waiting request will still wait: its place, by depth, and the live rate of starts.

An estimate, in its first form: what waits in front of it, divided by what has lately been started.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.ports import Served
from schemas.priority import PRIORITIES, RANK, Priority


@dataclass(frozen=True, slots=True)
class Outlook:
    """`position` 1 is next; `eta_s` are seconds until its start; None where nobody can tell."""

    position: int | None = None
    eta_s: float | None = None
    waiting_for: str | None = None


def outlook(
    priority: Priority,
    _tenant: str,
    accepted_at: float,
    waiting: Mapping[Priority, Mapping[str, int]],
    served: Served,
    _weight_of: Callable[[str], float],
    now: float,
) -> Outlook:
    """Return what a queued request can expect; `waiting` are those by class and tenant."""
    depths = {each: sum(waiting.get(each, {}).values()) for each in PRIORITIES}
    higher = sum(depths[each] for each in PRIORITIES if RANK[each] < RANK[priority])
    own = depths[priority] * _share_in_front(accepted_at, served.heads.get(priority), now)
    ahead = higher + math.floor(own)
    position = ahead + 1
    if not served.slots:
        return Outlook(position, None, "a worker that serves its model")
    if not ahead and served.running < served.slots:
        return Outlook(position, 0.0, "its start")
    eta_s = round(position / served.rate, 1) if served.rate else None
    return Outlook(position, eta_s, f"{ahead} requests ahead of it" if ahead else "a free slot")


def _share_in_front(accepted_at: float, head: float | None, now: float) -> float:
    """Return which share of its own queue is older, as if it had come in evenly since `head`.

    `head` is when the one last started was accepted; whatever is older has left the queue.
    """
    if head is None or now <= head:
        return 1.0
    return min(1.0, max(0.0, (accepted_at - head) / (now - head)))
