"""What an operator has paused or is draining."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Literal, Protocol

Switched = Literal["model", "backend"]


class State(StrEnum):
    """What an operator lets a model or a backend do; what runs ends in any of them."""

    RUNNING = "running"
    PAUSED = "paused"  # a model accepts and starts nothing; a backend starts nothing, all wait
    DRAINING = "draining"  # a model accepts nothing new; a backend's requests go elsewhere


class Switches(Protocol):
    """The states of models and backends, alike for all processes; they outlive every one."""

    async def set(self, kind: Switched, name: str, state: State) -> None:
        """Set the state of a model or a backend, whether or not anybody serves it."""

    async def all(self) -> dict[tuple[Switched, str], State]:
        """Return the state of everything that is not running."""

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` when something was set, here or elsewhere: soon, and perhaps never."""
