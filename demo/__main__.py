"""`python -m demo` and `python -m demo serve`: exit 0 when every claim held, 1 else, 130 Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run what the command line says."""
    # Until the loop listens for signals nothing has been started, so there is nothing to end.
    signal.signal(signal.SIGINT, lambda number, _frame: os._exit(128 + number))
    import argparse
    import asyncio

    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--act", type=int, choices=(1, 2, 3, 4, 5), help="only this act")
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="models and Penstock in the foreground")
    serving.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    port = arguments.port if arguments.command == "serve" else None
    sys.exit(asyncio.run(_run(port, arguments.act)))


async def _run(port: int | None, only_act: int | None) -> int:
    from asyncio import CancelledError

    from rich.console import Console
    from rich.markup import escape

    from demo.claims import DemoError, DoesNotHold

    out, err = Console(), Console(stderr=True)
    received: list[int] = []
    _cancel_on_signals(received)
    try:
        await _on_stage(port, only_act, out, err)
    except DoesNotHold as error:
        err.print(f"\n[bold red]A claim did not hold.[/] {escape(str(error))}", highlight=False)
        return 1
    except DemoError as error:
        err.print(f"\n[bold red]The demo stopped.[/] {escape(str(error))}", highlight=False)
        return 1
    except CancelledError:
        err.print("\nInterrupted. Every process has ended, the folder is removed.")
        return 128 + received[0]
    return 0


async def _on_stage(port: int | None, only_act: int | None, out: Console, err: Console) -> None:
    import asyncio

    from demo.claims import DemoError
    from demo.foreground import serve
    from demo.show import show
    from demo.stage import Stage

    stage = Stage(port, in_foreground=port is not None)
    try:
        if port is None:
            await show(stage, out, err, only_act)
        else:
            await serve(stage, out)
    except DemoError:
        if (child := stage.culprit()) is not None and child.tail():
            err.print(f"\nThe last lines of {child.name}:", style="bold")
            err.print(child.tail(), markup=False, highlight=False)
        raise
    finally:
        # In a thread: the loop closes our own connections meanwhile, for which Penstock waits.
        await asyncio.to_thread(stage.close)


def _cancel_on_signals(received: list[int]) -> None:
    """Cancel this task on the first signal, whose number is put into `received`."""
    import asyncio

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def cancel(number: int) -> None:
        # A second Ctrl-C must not interrupt the cleaning up.
        if not received and task is not None:
            received.append(number)
            task.cancel()

    for number in _ENDING:
        loop.add_signal_handler(number, cancel, number)


if __name__ == "__main__":
    main()
