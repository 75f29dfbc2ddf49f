"""Instants in sentences."""

from __future__ import annotations

from datetime import UTC, datetime


def in_words(at: float) -> str:
    """Return a Unix second as a sentence names it: `12:00:31 UTC`; the time alone."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
