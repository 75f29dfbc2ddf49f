"""The bars of `penstock batch` on standard error: of an upload, and of a batch that runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from cli.progress import OneBar


class UploadBar(OneBar):
    """How much of a file has been sent; `total` is None where its size is not known."""

    def __init__(self, total: int | None) -> None:
        columns = (TextColumn("upload"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        super().__init__(columns, total)

    def show(self, sent: int) -> None:
        """Show how many bytes have been sent."""
        self._progress.update(self._task, completed=sent)


class BatchBar(OneBar):
    """How far a batch is, as the server tells it."""

    def __init__(self) -> None:
        columns = (
            TextColumn("lines"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} elapsed"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
        )
        super().__init__(columns, None, rate="", said="")

    def show(self, batch: dict[str, Any], note: str = "") -> None:
        """Show a batch as it is now."""
        counts = batch["request_counts"]
        self._progress.update(
            self._task,
            total=counts["total"] or None,
            completed=counts["completed"] + counts["failed"],
            rate=f"{batch['penstock']['lines_per_s']:,.1f}/s",
            said=", ".join(_said(batch, note)),
        )


def _said(batch: dict[str, Any], note: str) -> list[str]:
    """Return what is worth saying of a batch beside its bar."""
    said = [f"{batch['request_counts']['failed']:,} failed"]
    eta_s = batch["penstock"]["eta_s"]
    if eta_s is not None:
        said.insert(0, f"left {timedelta(seconds=round(eta_s))}")
    if batch["status"] != "in_progress":
        said.append(batch["status"])
    if batch["penstock"]["paused"]:
        said.append("paused")
    return [*said, note] if note else said
