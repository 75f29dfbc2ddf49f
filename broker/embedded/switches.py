"""The switches in the SQLite file."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from broker.embedded.database import Database
from broker.ports import State, Switched


class EmbeddedSwitches:
    """Fills `Switches`; this is the one process, so that every change is told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tells: list[Callable[[], None]] = []

    async def set(self, kind: Switched, name: str, state: State) -> None:
        """Set the state of a model or a backend."""
        await self._database.write(
            lambda file: _set(file, kind, name, state), after=lambda _: self._tell()
        )

    async def all(self) -> dict[tuple[Switched, str], State]:
        """Return the state of everything that is not running."""
        return await self._database.read(_all)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` when something was set."""
        self._tells.append(tell)

    def _tell(self) -> None:
        for tell in self._tells:
            tell()


def _set(file: apsw.Connection, kind: Switched, name: str, state: State) -> None:
    if state is State.RUNNING:
        file.execute("DELETE FROM switches WHERE kind = ? AND name = ?", (kind, name))
    else:
        file.execute("INSERT OR REPLACE INTO switches VALUES (?, ?, ?)", (kind, name, state.value))


def _all(file: apsw.Connection) -> dict[tuple[Switched, str], State]:
    found = file.execute("SELECT kind, name, state FROM switches")
    return {(kind, name): State(state) for kind, name, state in found}
