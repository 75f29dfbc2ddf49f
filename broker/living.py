"""The Penstock processes that beat in one Redis, and whether each model has a worker among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from broker.findings import Examined, Finding

PART = "Penstock"


@dataclass(frozen=True, slots=True)
class LivingProcess:
    """A process that beats, and the models it works for."""

    role: str
    models: frozenset[str]


def judge(living: Sequence[LivingProcess], wanted: Collection[str]) -> list[Finding]:
    """Return what the heartbeats of all processes tell."""
    examined = Examined(PART)
    roles = Counter(each.role for each in living)
    if not living:
        examined.note("processes", "none lives on this Redis and namespace", "not started yet?")
        return examined.findings
    idle = sorted(set(wanted).difference(*(each.models for each in living)))
    said = ", ".join(f"{role} {count}" for role, count in sorted(roles.items()))
    if idle:
        examined.warn(
            "processes",
            f"alive: {said}; no live worker serves {', '.join(idle)}: requests for it wait",
            "start a worker, and see that the model's backends answer",
        )
    else:
        examined.ok("processes", f"alive: {said}")
    return examined.findings
