"""How many requests are queued, by class and tenant: what scripts/waiting.lua counts."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.priority import Priority


def summed(parts: Sequence[Sequence[bytes]]) -> dict[Priority, dict[str, int]]:
    """Return the sums over all partitions; each is a hash of `class/tenant`, alternating."""
    totals: dict[bytes, int] = {}
    for flat in parts:
        values = iter(flat)
        for field, count in zip(values, values, strict=True):
            totals[field] = totals.get(field, 0) + int(count)
    waiting: dict[Priority, dict[str, int]] = {}
    for field, total in totals.items():
        priority, tenant = field.decode().split("/", 1)
        waiting.setdefault(Priority(priority), {})[tenant] = total
    return waiting
