"""How much of an upload is under way: what was read and not yet acknowledged to its sender."""

from __future__ import annotations

import asyncio

from api.bulk.lines import Parcel

_MOST_LINES = 2_048
_MOST_BYTES = 4 * 1024 * 1024


class Window:
    """A bounded number of lines and bytes, but always one parcel. One task takes."""

    def __init__(self) -> None:
        self._lines = self._bytes = 0
        self._room = asyncio.Event()

    async def take(self, parcel: Parcel) -> None:
        """Return once there is room for the parcel, and it is in."""
        while self._lines and not self._fits(parcel):
            self._room.clear()
            await self._room.wait()
        self._lines += len(parcel.lines)
        self._bytes += parcel.size

    def give(self, parcel: Parcel) -> None:
        """Let a parcel go."""
        self._lines -= len(parcel.lines)
        self._bytes -= parcel.size
        self._room.set()

    def _fits(self, parcel: Parcel) -> bool:
        lines, size = self._lines + len(parcel.lines), self._bytes + parcel.size
        return lines <= _MOST_LINES and size <= _MOST_BYTES
