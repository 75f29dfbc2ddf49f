"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def head(title: str, source: str) -> str:
    """Return a page's title, and where its content comes from."""
    made = f"<!-- Made by `python -m reference` from {source}: change it there. -->"
    return f"{made}\n\n# {title}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar within a cell is escaped."""
    lines = [_row(columns), _row(["---"] * len(columns)), *map(_row, rows)]
    return "\n".join(lines)


def code(text: object) -> str:
    """Return inline code."""
    return f"`{text}`"


def block(language: str, text: str) -> str:
    """Return a fenced block."""
    return f"```{language}\n{text.rstrip()}\n```"


def noted(text: str, notes: Sequence[str]) -> str:
    """Return the text with the notes in brackets, if there are any."""
    return f"{text} ({'; '.join(notes)})" if notes else text


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
