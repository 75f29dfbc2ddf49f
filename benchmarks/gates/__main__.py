"""Measure the gates of the scheduler, webhooks and batches in their long sizes, on both engines.

    python -m benchmarks.gates [NAME…] [--engine embedded|real] [--short]

Exit 1 if one is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.gates import (
    batch_losses,
    batch_sizes,
    equal_floods,
    eta,
    high_waits,
    quiet_tenant,
    rates,
    shares,
    throughput,
    webhook_losses,
    webhook_silence,
)
from benchmarks.gates.figures import Figure
from benchmarks.gates.stage import Stage
from tests.fakes.stack import Setup
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisServer

_GATES: dict[str, Any] = {
    "high": high_waits,
    "shares": shares,
    "quiet": quiet_tenant,
    "equal": equal_floods,
    "rates": rates,
    "throughput": throughput,
    "eta": eta,
    "hooks": webhook_losses,
    "silence": webhook_silence,
    "batch-losses": batch_losses,
    "batch-sizes": batch_sizes,
}
_ENGINES = ("embedded", "real")
_WORKERS = 2


def main() -> None:
    """Measure and print."""
    options = _arguments()
    out = Console(width=120)
    met = True
    with tempfile.TemporaryDirectory(prefix="penstock-gates-") as directory:
        for engine in options.engines:
            with _setup(engine, Path(directory)) as setup:
                for name in options.names or _GATES:
                    gate = _GATES[name]
                    size = gate.SHORT if options.short else gate.LONG
                    figures = gate.measure(Stage(Path(directory) / engine, setup), size)
                    _show(out, f"{name}, {engine}: {size}", figures)
                    met = met and all(figure.met for figure in figures)
    sys.exit(0 if met else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *_GATES], help="all if none is named")
    parser.add_argument(
        "--engine", dest="engines", nargs="+", choices=_ENGINES, default=_ENGINES, help="only these"
    )
    parser.add_argument("--short", action="store_true", help="in the sizes of the tests")
    return parser.parse_args()


@contextmanager
def _setup(engine: str, directory: Path) -> Iterator[Setup]:
    """Start the servers that the engine stands on."""
    if engine == "embedded":
        yield Setup()
        return
    with ExitStack() as stops:
        rabbitmq = RabbitMQNode(directory / "rabbitmq")
        redis = RedisServer(directory / "redis", appendfsync="everysec")
        for server in (rabbitmq, redis):
            server.start()
            stops.callback(server.stop)
        yield Setup(engine="real", workers=_WORKERS, amqp_url=rabbitmq.url, redis_url=redis.url)


def _show(out: Console, title: str, figures: Sequence[Figure]) -> None:
    table = Table("", "measured", "bound", "", title=title, title_justify="left")
    for figure in figures:
        verdict = "" if not figure.bound else "met" if figure.met else "[red]missed[/]"
        table.add_row(figure.what, f"{figure.value:.4g}", figure.bound, verdict)
    out.print(table)


if __name__ == "__main__":
    main()
