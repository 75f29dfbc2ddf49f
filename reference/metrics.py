"""The page of the metrics that `GET /metrics` tells."""

from __future__ import annotations

from typing import Any

from broker import telemetry
from reference.markdown import code, head, table

_INTRO = """
`GET /metrics` of every process that serves HTTP, in Prometheus' text format, without a key. Each
process tells its own numbers: sum them. A worker without doors (`penstock worker`) has no HTTP port
and so tells none yet. Times are in seconds.
"""


def page() -> str:
    """Return the page."""
    rows = [
        (code(_name(each)), each._type, _labels(each), f"{each._documentation}.")  # noqa: SLF001  because the client offers no other view before a first sample
        for each in vars(telemetry).values()
        if hasattr(each, "_documentation")
    ]
    return (
        f"{head('Metrics', 'broker/telemetry.py')}{_INTRO}\n"
        f"{table(('name', 'type', 'labels', 'what it counts'), rows)}\n"
    )


def _name(metric: Any) -> str:
    """Return the name as it is told: a counter's ends in `_total`."""
    return f"{metric._name}_total" if metric._type == "counter" else str(metric._name)  # noqa: SLF001  because the client offers no other view before a first sample


def _labels(metric: Any) -> str:
    return ", ".join(map(code, metric._labelnames)) or "none"  # noqa: SLF001  because the client offers no other view before a first sample
