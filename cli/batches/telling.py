"""What there is to say of a batch: its fields, its row, what is wrong with its file, its end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from cli.outcome import FAILED, OK
from cli.showing import instant, json_text, say

COLUMNS = ("id", "status", "lines", "completed", "failed", "endpoint", "window", "created")
NUMBERS = ("lines", "completed", "failed")


def row(batch: dict[str, Any]) -> list[object]:
    """Return the row of a list."""
    counts = batch["request_counts"]
    return [
        batch["id"],
        batch["status"] + (" (paused)" if batch["penstock"]["paused"] else ""),
        *(f"{counts[name]:,}" for name in ("total", "completed", "failed")),
        batch["endpoint"],
        batch["completion_window"],
        instant(batch["created_at"]),
    ]


def fields(batch: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield what there is to say, in the order of its life."""
    counts, beyond = batch["request_counts"], batch["penstock"]
    yield "id", batch["id"]
    yield "status", batch["status"] + (" (paused)" if beyond["paused"] else "")
    yield "endpoint", batch["endpoint"]
    yield "model", batch["model"]
    yield "lines", f"{counts['total']:,}"
    for name in ("completed", "failed"):
        yield name, f"{counts[name]:,}"
    for name in ("running", "not_started", "cancelled", "expired"):
        yield name.replace("_", " "), f"{beyond[name]:,}" if beyond[name] else None
    yield "rate", f"{beyond['lines_per_s']:,.1f} lines/s" if beyond["lines_per_s"] else None
    eta_s = beyond["eta_s"]
    yield "left", None if eta_s is None else str(timedelta(seconds=round(eta_s)))
    for name in ("created", "in_progress", "cancelling", "finalizing"):
        yield name.replace("_", " "), instant(batch[f"{name}_at"])
    for name in ("completed", "failed", "expired", "cancelled"):
        yield f"{name} at", instant(batch[f"{name}_at"])
    yield "expires", instant(batch["expires_at"])
    for name in ("input_file_id", "output_file_id", "error_file_id"):
        yield name.removesuffix("_id").replace("_", " "), batch[name]
    if (usage := batch["usage"])["total_tokens"]:
        yield "tokens", f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    if batch["metadata"]:
        yield "metadata", json_text(batch["metadata"])
    yield "retry of", beyond["retry_of"]


def say_mistakes(batch: dict[str, Any], name: str) -> None:
    """Say what is wrong with the file of a batch, each with its line."""
    for mistake in (batch["errors"] or {"data": ()})["data"]:
        place = name if mistake["line"] is None else f"{name}:{mistake['line']}"
        say(f"{place}: {mistake['message']} ({mistake['code']})")


def say_end(batch: dict[str, Any]) -> None:
    """Say in a sentence how a batch has ended, and how to see what failed."""
    counts = batch["request_counts"]
    said = f"{batch['id']} {batch['status']}: {counts['completed']:,} completed"
    said += f", {counts['failed']:,} failed"
    if not_started := batch["penstock"]["not_started"]:
        said += f", {not_started:,} not started"
    said += f" of {counts['total']:,} lines."
    if batch["error_file_id"] is not None:
        said += f" `penstock batch results {batch['id']} --errors` shows what failed"
        again = batch["status"] != "failed"
        said += f", `penstock batch retry-failed {batch['id']}` does it again." if again else "."
    say(said)


def exit_code(batch: dict[str, Any]) -> int:
    """Return 0 for a batch that completed without a failed line, else 1."""
    whole = batch["status"] == "completed" and not batch["request_counts"]["failed"]
    return OK if whole else FAILED
