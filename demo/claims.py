"""What the demo may not get away with: a claim that does not hold, a part that does not start."""

from __future__ import annotations

from rich.console import Console


class DemoError(Exception):
    """Why the demo cannot go on, as a sentence for whoever runs it."""


class DoesNotHold(DemoError):
    """A claim of the demo that was looked at and found false."""


def claim(console: Console, holds: bool, said: str, otherwise: str) -> None:
    """Print `said` when it holds. Raises DoesNotHold with `otherwise` when it does not."""
    if not holds:
        raise DoesNotHold(otherwise)
    console.print(f"  [green]holds[/]  {said}", highlight=False)
