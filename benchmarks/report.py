"""The tables for a reader, and the same figures as JSON for a program."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Aim, aims, control, cpu_to_floor, median, to_floor, voided
from benchmarks.rounds import Row, Run, Runs
from benchmarks.servers import Servers

# Embedded is one process, `serve`, which stands in the api's column.
_PARTS = ("api", "worker", "rabbitmq", "redis")
_LIBRARIES = ("aio-pika", "aiohttp", "apsw", "orjson", "redis", "uvicorn", "uvloop")


def show(rows: Mapping[Row, Runs], out: Console) -> None:
    """Print every row's table, the memory, the aims, and loudly whether the run is void."""
    for row, runs in rows.items():
        out.print(_row_table(row, runs))
        out.print(_checks(runs), "", sep="\n", highlight=False)
    out.print(_memory_table(rows))
    out.print(_aims_table(aims(rows)))
    if reason := voided(rows):
        out.print(f"\n[bold white on red] VOID [/] {reason}\n", highlight=False)


def as_json(rows: Mapping[Row, Runs], servers: Servers, requests: int) -> dict[str, Any]:
    """Return everything, ready for orjson."""
    return {
        "void": voided(rows),
        "requests": requests,
        "cpus": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            "rabbitmq": servers.rabbitmq.version,
            "redis": servers.redis.version,
            **{name: version(name) for name in _LIBRARIES},
        },
        "rows": [_row_json(row, runs) for row, runs in rows.items()],
        "aims": [{**asdict(aim), "met": aim.met} for aim in aims(rows)],
    }


def _row_json(row: Row, runs: Runs) -> dict[str, Any]:
    return {
        **asdict(row),
        "control": asdict(control(runs)),
        "reference_to_floor": asdict(to_floor(runs)),
        "reference_to_floor_in_cpu": asdict(cpu_to_floor(runs)),
        "systems": {name: _system_json(each) for name, each in runs.items()},
    }


def _system_json(runs: list[Run]) -> dict[str, Any]:
    return {
        "completed": sum(run.completed for run in runs),
        "per_s": median(runs, lambda run: run.per_s),
        "added_p50_ms": median(runs, lambda run: run.added_p50_ms),
        "added_p99_ms": median(runs, lambda run: run.added_p99_ms),
        "cpu_s_per_1000": median(runs, lambda run: run.cpu_all_s),
        "rounds": [asdict(run) for run in runs],
    }


def _row_table(row: Row, runs: Runs) -> Table:
    table = Table(title=str(row), title_justify="left", title_style="bold")
    table.add_column("system")
    for name in ("req/s", "lowest", "highest", "added p50", "p99 ms"):
        table.add_column(name, justify="right")
    for name in (*_PARTS, "all CPU s"):
        table.add_column(name, justify="right")
    for name, each in runs.items():
        rates = [run.per_s for run in each]
        table.add_row(
            name,
            *(f"{rate:,.0f}" for rate in (statistics.median(rates), min(rates), max(rates))),
            f"{median(each, lambda run: run.added_p50_ms):.1f}",
            f"{median(each, lambda run: run.added_p99_ms):.1f}",
            *_parts([run.cpu_s for run in each], "{:.3f}"),
            f"{median(each, lambda run: run.cpu_all_s):.3f}",
        )
    return table


def _memory_table(rows: Mapping[Row, Runs]) -> Table:
    """The servers are shared: theirs grow with what every system has left in them."""
    table = Table(title="PSS, MiB, last row", title_justify="left", title_style="bold")
    table.add_column("system")
    for name in _PARTS:
        table.add_column(name, justify="right")
    for name, runs in list(rows.values())[-1].items():
        table.add_row(name, *_parts([run.pss_mib for run in runs], "{:.0f}"))
    return table


def _parts(of_runs: list[dict[str, float]], form: str) -> list[str]:
    named = [{"api" if name == "serve" else name: v for name, v in one.items()} for one in of_runs]
    return [
        form.format(statistics.median(one[part] for one in named)) if part in named[0] else ""
        for part in _PARTS
    ]


def _aims_table(found: list[Aim]) -> Table:
    table = Table(title="aims", title_justify="left", title_style="bold")
    for name in ("figure", "circumstances", "median (lowest to highest)", "aim", ""):
        table.add_column(name)
    for aim in found:
        verdict = "[green]met[/]" if aim.met else "[red]missed[/]"
        bound = f"{'≤' if aim.at_most else '≥'} {aim.bound}"
        table.add_row(aim.what, str(aim.row), str(aim.value), bound, verdict)
    return table


def _checks(runs: Runs) -> str:
    return (
        f"A/A, reference ÷ itself: {control(runs)}\n"
        f"reference ÷ floor: {to_floor(runs)}; the same in CPU: {cpu_to_floor(runs)}\n"
        f"client + backend, CPU s per 1,000: {_drivers(runs)}"
    )


def _drivers(runs: Runs) -> str:
    every = [run.driver_cpu_s for each in runs.values() for run in each]
    return " + ".join(f"{statistics.median(one[name] for one in every):.3f}" for name in every[0])
