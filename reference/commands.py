"""The page of the command line: what `--help` of every verb prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from cli.main import app
from reference.markdown import block, head

# What a terminal of 80 columns leaves.
_COLUMNS = 78
_INTRO = """
`penstock --help`, and the same for every verb. Data is printed on standard output, everything else
on standard error.

| exit code | meaning |
| --- | --- |
| 0 | it went well |
| 1 | it was done, and a request failed or was refused |
| 2 | the command or the configuration is wrong; nothing was started |
| 3 | no server answers |
| 130 | Ctrl-C |
"""


def page() -> str:
    """Return the page."""
    verbs = "\n\n".join(
        f"## {path}\n\n{block('text', text)}" for path, text in helps(get_command(app), "penstock")
    )
    return f"{head('Command line', 'cli/main.py')}{_INTRO}\n{verbs}\n"


def helps(command: Any, path: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Return what `--help` of a command and of those below it prints."""
    context = command.make_context(
        path if parent is None else command.name,
        [],
        parent=parent,
        resilient_parsing=True,
        terminal_width=_COLUMNS,
        max_content_width=_COLUMNS,
    )
    yield path, command.get_help(context)
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from helps(inner, f"{path} {name}", context)
