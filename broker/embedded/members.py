"""The one living process, and every earlier life of it, which is dead."""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.embedded.life import Life
from broker.ports import Served
from broker.scheduling.served import merge_served


class EmbeddedMembers:
    """Fills `Members`. Whoever can ask is alive, however late its last beat is."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._beat_at = time.monotonic()
        self._serves: dict[str, Sequence[Served]] = {}
        self._left = False

    async def beat(self, role: str, serves: Sequence[Served]) -> None:
        """Note what this process serves in a role."""
        self._beat_at = time.monotonic()
        self._serves[role] = tuple(serves)
        self._left = False

    async def last_beat(self, owner: str) -> float | None:
        """Return the seconds since the last beat; None for any other life than this one."""
        if self._left or owner != self._life.owner:
            return None
        return time.monotonic() - self._beat_at

    async def served(self) -> list[Served]:
        """Return each served model once."""
        return merge_served(served for role in self._serves.values() for served in role)

    async def leave(self) -> None:
        """Say that this process ends."""
        self._left = True
        self._serves.clear()
