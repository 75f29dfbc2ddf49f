"""Which file of docs/ is made by which function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reference import (
    commands,
    configuration,
    environment,
    errors,
    http_api,
    lifecycle,
    metrics,
    way,
)

DOCS = Path(__file__).parents[1] / "docs"

PAGES: dict[str, Callable[[], str]] = {
    "reference/configuration.md": configuration.page,
    "reference/environment.md": environment.page,
    "reference/errors.md": errors.page,
    "reference/http.md": http_api.page,
    "reference/cli.md": commands.page,
    "reference/metrics.md": metrics.page,
    "diagrams/lifecycle.svg": lifecycle.drawing,
    "diagrams/way.svg": way.drawing,
}


def stale() -> list[str]:
    """Return the files that are missing or say something else than the code."""
    return [page for page, made in PAGES.items() if _now(DOCS / page) != made()]


def _now(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None
