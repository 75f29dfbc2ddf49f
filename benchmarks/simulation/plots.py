"""The plots, one for each idea; matplotlib is imported only when something is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.simulation.requests import Request
from broker.scheduling.shares import ClassShare
from schemas.priority import Priority

_INK, _PALE, _GRID = "#1f2933", "#52606d", "#e4e7eb"
_COLOURS = {
    Priority.HIGH: "#d1495b",
    Priority.NORMAL: "#2e74b5",
    Priority.LOW: "#3c9d73",
    Priority.BATCH: "#8d6fb8",
}
_BLUES = ["#9aa5b1", "#a9cbe8", "#78add9", "#4a8fc8", "#2a6fa9", "#154a78"]
_DASHED = (0, (4, 3))
_MOST_POINTS = 3_000
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _PALE,
    "axes.edgecolor": _GRID,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 26,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _PALE,
    "ytick.color": _PALE,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
}


def waits_by_class(waits: Mapping[Priority, Sequence[float]], out: Path) -> Path:
    """Draw how many of each class had waited how long, in mean service times."""
    path = out / "waits-by-class.png"
    with _axes(
        path, "Strict classes", "all classes at once, a fifth more than can be served"
    ) as ax:
        for priority in Priority:
            _cumulative(ax, waits[priority], _COLOURS[priority], priority.value)
        ax.set_xscale("symlog", linthresh=1.0, linscale=0.6)
        ax.set_xlim(0, 200)
        ax.set_xticks([0, 0.5, 1, 10, 100], ["0", "½", "1", "10", "100"])
        ax.set_xlabel("wait, in service times")
        _percent_of(ax, "requests that had started")
        ax.legend(loc="lower right")
    return path


def quiet_tenant(by_floods: Mapping[int, Sequence[float]], bound: float, out: Path) -> Path:
    """Draw how long a quiet tenant waits beside none to five floods."""
    path = out / "quiet-tenant.png"
    title = "A flood moves only itself"
    with _axes(path, title, "waits of a quiet tenant beside floods of 10,000 requests each") as ax:
        for floods, values in by_floods.items():
            label = {0: "alone", 1: "1 flood"}.get(floods, f"{floods} floods")
            _cumulative(ax, values, _BLUES[floods], label)
        ax.axvline(bound, color=_COLOURS[Priority.HIGH], linestyle=_DASHED, linewidth=1.4)
        ax.text(bound * 0.985, 0.04, "the aim for 95 %", rotation=90, ha="right", color=_PALE)
        ax.set_xlim(-0.02, bound * 1.6)
        ax.set_xlabel("wait in seconds; a call lasts one second on average")
        _percent_of(ax, "requests that had started")
        ax.legend(loc="lower right")
    return path


def shares_over_time(
    started: Sequence[tuple[float, Priority]], shares: Mapping[Priority, ClassShare], out: Path
) -> Path:
    """Draw which part of the starts each class got, minute by minute."""
    path = out / "shares.png"
    title, ends = "Nobody starves", 15
    with _axes(path, title, "high alone sends more than can be served, and so do the others") as ax:
        minutes = [Counter[Priority]() for _ in range(ends)]
        for now, priority in started:
            if now < 60.0 * ends:
                minutes[int(now // 60)][priority] += 1
        for priority in reversed(Priority):
            parts = [100.0 * each[priority] / max(1, each.total()) for each in minutes]
            middles = [minute + 0.5 for minute in range(ends)]
            colour = _COLOURS[priority]
            if priority in shares:
                share = 100.0 * shares[priority].share
                ax.plot([0, ends], [share] * 2, color=colour, linestyle=_DASHED, linewidth=1.0)
            ax.plot(middles, parts, color=colour, marker="o", markersize=4)
            ax.text(ends + 0.15, parts[-1], priority.value, color=colour, va="center")
        ax.set_yscale("log")
        ax.set_ylim(1.5, 130)
        ax.set_yticks([3.125, 6.25, 12.5, 50, 100], ["1/32", "1/16", "1/8", "1/2", "all"])
        ax.minorticks_off()
        ax.set_xlim(0, ends + 1.6)
        ax.set_xlabel("minutes; the classes are late after ½, 1 and 2")
        ax.set_ylabel("part of the starts")
    return path


def equal_floods(over_time: Sequence[tuple[float, Counter[str]]], out: Path) -> Path:
    """Draw how many tokens each of the floods had been served."""
    path = out / "equal-floods.png"
    with _axes(path, "Equal floods, equal turns", "eight tenants, 8 slots, two workers") as ax:
        names = sorted(over_time[-1][1])
        for place, name in enumerate(names):
            tokens = [counts[name] / 1_000 for _, counts in over_time]
            colour = _BLUES[1 + place % (len(_BLUES) - 1)]
            ax.plot([now for now, _ in over_time], tokens, color=colour, linewidth=1.6)
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("seconds")
        ax.set_ylabel("thousands of tokens, a line for each tenant")
    return path


def eta_told(told: Sequence[Request], out: Path) -> Path:
    """Draw what was told at the acceptance beside what came true."""
    path = out / "eta.png"
    title = "What was told, what came true"
    with _axes(path, title, "ten times more than can be served comes in, 16 slots") as ax:
        shown = [each for each in told if each.eta_s is not None]
        shown = shown[:: max(1, len(shown) // _MOST_POINTS)]
        most = 1.05 * max(each.wait_s for each in shown)
        ax.fill_between([0, most], [0, 0.7 * most], [0, 1.3 * most], color="#eef3f8", linewidth=0)
        ax.plot([0, most], [0, most], color=_INK, linestyle=_DASHED, linewidth=1.0, zorder=3)
        for priority in Priority:
            of_class = [each for each in shown if each.priority is priority]
            if of_class:
                ax.scatter(
                    [each.wait_s for each in of_class],
                    [each.eta_s for each in of_class],
                    s=7,
                    color=_COLOURS[priority],
                    alpha=0.5,
                    linewidths=0,
                    label=priority.value,
                )
        ax.text(0.72 * most, 0.97 * most, "+30 %", color=_PALE, ha="right")
        ax.text(0.97 * most, 0.63 * most, "-30 %", color=_PALE, ha="right")
        ax.set_xlim(0, most)
        ax.set_ylim(0, 1.1 * most)
        ax.set_xlabel("seconds it waited")
        ax.set_ylabel("seconds it was told at its acceptance")
        ax.legend(loc="upper left", markerscale=2.5)
    return path


def _cumulative(ax: Any, values: Sequence[float], colour: str, label: str) -> None:
    ordered = sorted(values)
    step = max(1, len(ordered) // _MOST_POINTS)
    xs = [*ordered[::step], ordered[-1]]
    ys = [*(place / len(ordered) for place in range(0, len(ordered), step)), 1.0]
    ax.plot(xs, ys, color=colour, label=label)


def _percent_of(ax: Any, what: str) -> None:
    ax.set_ylim(0, 1.02)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.set_ylabel(what)


@contextmanager
def _axes(path: Path, title: str, below: str) -> Iterator[Any]:
    """Give axes to draw into; they are written to `path` at the end."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        ax = figure.subplots()
        ax.set_title(title)
        ax.text(0, 1.035, below, transform=ax.transAxes, color=_PALE)
        yield ax
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, metadata={"Software": None})
