"""`python -m benchmarks.simulate`: the policy that decides who goes next, under a virtual clock.

The order, the shares, the turns, the lanes and the ETA are those of the broker; queues, slots and
calls are imagined. Exit 1 if a figure misses its gate.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.simulation.figures import Outcome
from benchmarks.simulation.scenarios import SCENARIOS, Run

_OUT = Path("simulation")
_WIDTH = 110


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, nargs="+", help="only some of them")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same figures")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the plots are written")
    parser.add_argument("--quick", action="store_true", help="a fortieth of the requests")
    return parser.parse_args()


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("scenario", "figure", "found", "gate", ""):
        table.add_column(column)
    for outcome in outcomes:
        for figure in outcome.figures:
            mark = {None: "", True: "[green]holds[/]", False: "[bold red]missed[/]"}[figure.holds]
            table.add_row(outcome.scenario, figure.what, figure.value, figure.gate, mark)
    return table


def main() -> None:
    """Simulate, print the figures, write the plots."""
    options = _arguments()
    out = Console(width=_WIDTH, highlight=False)
    outcomes: list[Outcome] = []
    for name in options.scenario or SCENARIOS:
        began = time.perf_counter()
        outcome = SCENARIOS[name](Run(options.seed, options.quick))
        took_s = time.perf_counter() - began
        outcomes.append(outcome)
        out.print(
            f"{name}: {outcome.requests:,} requests of {outcome.models:,} models"
            f" in {took_s:.1f} s, {outcome.requests / took_s:,.0f} a second"
        )
        if outcome.draw is not None:
            out.print(f"  {outcome.draw(options.out)}")
    out.print(_table(outcomes))
    sys.exit(any(figure.holds is False for outcome in outcomes for figure in outcome.figures))


if __name__ == "__main__":
    main()
