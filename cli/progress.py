"""The bar of `penstock submit` on standard error: count, rate, time left, failures."""

from __future__ import annotations

from typing import Self

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


class Bar:
    """One bar; invisible when standard error is no terminal or there is one request only."""

    def __init__(self, total: int | None) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("requests"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]} failed {task.fields[note]}"),
            console=console,
            disable=not console.is_terminal or total == 1,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total, failed=0, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, ended: int, failed: int, note: str = "") -> None:
        """Show how far it is."""
        self._progress.update(self._task, completed=ended, failed=failed, note=note)
