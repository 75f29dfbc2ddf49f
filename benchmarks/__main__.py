"""`make bench`: Penstock beside the same pipeline written by hand, in one run on one machine.

Requests go HTTP → queue → pool → fast fake backend → `?wait=`, 64 in flight, and every answer is
checked. Exit 0 even if an aim is missed, 1 if the run is void.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks import report
from benchmarks.figures import voided
from benchmarks.rounds import Row, Runs, Void, measure
from benchmarks.servers import Servers
from benchmarks.systems import systems

ROWS = [Row(0, "everysec"), Row(0, "always"), Row(50, "everysec"), Row(50, "always")]
_RESULTS = Path(__file__).parent / "results.json"
_WIDTH = 125


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of which the median counts")
    parser.add_argument("--quick", action="store_const", const=3, dest="rounds", help="3 rounds")
    parser.add_argument("--requests", type=int, default=3_000, help="of a system in a round")
    parser.add_argument(
        "--rows", type=int, nargs="+", choices=range(1, len(ROWS) + 1), help="only some of the rows"
    )
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the JSON to write")
    return parser.parse_args()


def _measure(options: argparse.Namespace, progress_to: Console) -> dict[Row, Runs]:
    chosen = [ROWS[number - 1] for number in options.rows] if options.rows else ROWS
    waits_ms = sorted({row.wait_ms for row in chosen})
    with (
        tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory,
        progress_to.status("starting the servers") as status,
        Servers(Path(directory)) as servers,
        systems(servers, waits_ms) as running,
    ):
        rows = {
            row: measure(servers, running, row, options.rounds, options.requests, status.update)
            for row in chosen
        }
        content = report.as_json(rows, servers, options.requests)
        options.results.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return rows


def main() -> None:
    """Measure, print, and write the results."""
    options = _arguments()
    out, progress_to = Console(), Console(stderr=True)
    if not out.is_terminal:
        out.width = _WIDTH
    try:
        rows = _measure(options, progress_to)
    except Void as reason:
        out.print(f"[bold white on red] VOID [/] {reason}", highlight=False)
        sys.exit(1)
    report.show(rows, out)
    if voided(rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
