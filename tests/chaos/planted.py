"""The command line with a fault planted in it; a drill that does not find it is worth nothing.

python -m tests.chaos.planted FAULT serve --config FILE
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, cast

from broker.claims import Run
from broker.embedded.writer import Writer
from cli.main import main as command_line
from workers.executor import Executor
from workers.inflight import InFlight
from workers.routing.targets import Target


def ack_before_commit() -> None:
    """Ack as soon as the request is claimed, as queues without late acks do."""
    original = Executor._run

    async def run(
        self: Executor, run: InFlight, claim: Run, target: Target, max_attempts: int
    ) -> None:
        for delivery in run.deliveries:
            await delivery.ack()
        run.deliveries.clear()
        await original(self, run, claim, target, max_attempts)

    Executor._run = run  # type: ignore[method-assign]  # because planting is what this is for


def answer_before_commit() -> None:
    """Answer a write a moment before it is in the file, as a store without syncs does."""
    original = Writer._transact

    def transact(self: Writer, batch: list[Any]) -> None:
        connection = self._connection
        self._connection = cast(Any, _Hasty(self, batch))
        try:
            original(self, batch)
        finally:
            self._connection = connection

    Writer._transact = transact  # type: ignore[method-assign]  # because planting is what this is for


class _Hasty:
    """A connection whose COMMIT tells the callers first and happens 0.2 s later."""

    def __init__(self, writer: Writer, batch: list[Any]) -> None:
        self._writer, self._batch, self._real = writer, batch, writer._connection

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Pass a statement on, a COMMIT late."""
        if statement == "COMMIT":
            self._writer._tell(self._batch)
            time.sleep(0.2)
        return self._real.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


FAULTS: dict[str, Callable[[], None]] = {
    "ack-before-commit": ack_before_commit,
    "answer-before-commit": answer_before_commit,
}


def main() -> None:
    """Plant the fault named first and run the rest as the command line."""
    FAULTS[sys.argv.pop(1)]()
    command_line()


if __name__ == "__main__":
    main()
