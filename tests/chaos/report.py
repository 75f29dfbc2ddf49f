"""The drill's table and its closing lines."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

_WIDTHS = {
    "attempted": 9,
    "202": 5,
    "held": 5,
    "refused": 7,
    "dropped": 7,
    "ok": 5,
    "lost": 4,
    "changed": 7,
    "unexpected": 10,
    "duplicated": 10,
    "recovered": 9,
    "extra calls": 11,
    "by servers": 10,
    "high water": 10,
    "in flight": 9,
    "seconds": 7,
}


def columns() -> str:
    """Return the head of the table."""
    return "  ".join(["round", *(f"{name:>{width}}" for name, width in _WIDTHS.items()), "killed"])


def line(seed: int, row: dict[str, Any], *, ok: bool) -> str:
    """Return a row of the table."""
    cells = [f"{row.get(name, '-'):>{width}}" for name, width in _WIDTHS.items()]
    verdict = "ok" if ok else "FAILED"
    return "  ".join([f"{seed:>5}", *cells, f"{row['killed']} | {row['others']} | {verdict}"])


def summary(
    kills: Counter[str],
    recovery_s: dict[str, list[float]],
    take_over_s: list[float],
    tracebacks: dict[str, int],
) -> str:
    """Return what all rounds say together."""
    killed = ", ".join(f"{role} {count}" for role, count in sorted(kills.items()))
    lines = [f"kills: {killed or 'none'}"]
    for kind, seconds in sorted(recovery_s.items()):
        lines.append(f"heal to first new completion, {kind}: {_spread(seconds)}")
    lines.append(f"kill to the same request running again: {_spread(take_over_s)}")
    found = ", ".join(f"{name} {count}" for name, count in tracebacks.items() if count)
    lines.append(f"tracebacks in logs: {found or 'none'}")
    return "\n".join(lines)


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    middle = statistics.median(seconds)
    return f"n {len(seconds)}, p50 {middle:.2f} s, max {max(seconds):.2f} s"
