"""The bars of commands on standard error; `Bar` is that of `penstock submit` and `cancel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Requests a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "")


class OneBar:
    """One bar; invisible when standard error is no terminal, and gone at its end.

    `fields` are what its columns show beside the count.
    """

    def __init__(
        self,
        columns: Sequence[ProgressColumn],
        total: int | None,
        *,
        hidden: bool = False,
        **fields: Any,
    ) -> None:
        console = Console(stderr=True)
        disable = hidden or not console.is_terminal
        self._progress = Progress(*columns, console=console, disable=disable, transient=True)
        self._task = self._progress.add_task("", total=total, **fields)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class Bar(OneBar):
    """Count, rate, time left, failures; invisible also where there is one request only."""

    def __init__(self, total: int | None) -> None:
        columns = (
            TextColumn("requests"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]} failed {task.fields[note]}"),
        )
        super().__init__(columns, total, hidden=total == 1, failed=0, note="")

    def show(self, ended: int, failed: int, note: str = "") -> None:
        """Show how far it is."""
        self._progress.update(self._task, completed=ended, failed=failed, note=note)
