"""Act one: forty requests for a model that takes two at a time, the most important ones last."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.claims import claim
from demo.requests import Requests
from demo.stage import CHAT_LIMIT, Stage

# In the order in which they are submitted.
_PLAN = (("low", 16), ("normal", 14), ("high", 10))
_TOTAL = sum(count for _, count in _PLAN)
_MAX_TOKENS = 8

Object = dict[str, Any]


async def play(stage: Stage, out: Console, progress_to: Console) -> None:
    """Run the act and print it. Raises DemoError."""
    began = time.monotonic()
    async with Requests(stage.url) as requests:
        answers: list[tuple[int, str]] = []
        for priority, count in _PLAN:
            for _ in range(count):
                answers.append(await requests.submit(len(answers), priority, _MAX_TOKENS))
        refused = sum(status == 429 for status, _ in answers)
        accepted = [request_id for status, request_id in answers if status == 202]
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, TimeElapsedColumn(), console=progress_to, transient=True
        ) as progress:
            task = progress.add_task("answered", total=len(accepted))
            ended = await requests.all_ended(accepted, lambda: progress.advance(task))
    took = time.monotonic() - began
    out.print(_table(ended))
    out.print(f"  {len(ended)} answers in {took:.1f} s", highlight=False)
    _check(out, ended, refused)


def waits_of(objects: list[Object], priority: str) -> list[float]:
    """Return how long each request of a priority waited for its first call, in seconds."""
    return [o["started_at"] - o["created_at"] for o in objects if o["priority"] == priority]


def most_at_once(objects: list[Object]) -> int:
    """Return how many of the requests were in flight at the same instant, at the most."""
    # An end sorts before a start at the same instant: the slot was free by then.
    edges = [(o["started_at"], 1) for o in objects] + [(o["finished_at"], -1) for o in objects]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def _table(objects: list[Object]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("priority")
    for title in ("n", "waited, median", "waited, most", "completed"):
        table.add_column(title, justify="right")
    for priority, _ in reversed(_PLAN):
        waits = waits_of(objects, priority)
        done = sum(o["priority"] == priority and o["status"] == "completed" for o in objects)
        middle = f"{median(waits):.1f} s" if waits else "-"
        longest = f"{max(waits):.1f} s" if waits else "-"
        table.add_row(priority, str(len(waits)), middle, longest, str(done))
    return table


def _check(out: Console, objects: list[Object], refused: int) -> None:
    done = sum(o["status"] == "completed" for o in objects)
    claim(
        out,
        refused == 0 and len(objects) == _TOTAL and done == _TOTAL,
        f"{_TOTAL} of {_TOTAL} accepted and completed, none refused with 429",
        f"{len(objects)} of {_TOTAL} were accepted, {done} completed, {refused} refused with 429.",
    )
    most = most_at_once(objects)
    claim(
        out,
        most <= CHAT_LIMIT,
        f"at most {most} calls in flight at once, the limit is {CHAT_LIMIT}",
        f"{most} calls were in flight at once; the limit is {CHAT_LIMIT}.",
    )
    high, normal, low = (median(waits_of(objects, name)) for name in ("high", "normal", "low"))
    claim(
        out,
        high < normal < low,
        f"high came last and waited {high:.1f} s, low came first and waited {low:.1f} s",
        "The medians of the waits are not in the order of the priorities: "
        f"high {high:.1f} s, normal {normal:.1f} s, low {low:.1f} s.",
    )
