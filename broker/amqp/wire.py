"""The outgoing half of a connection: the writes of one loop turn go out as one."""

from __future__ import annotations

import asyncio

# More than this is written at once: it bounds what is held, and tells early that there is no room.
_JOINED_BYTES = 64 * 1024


class Wire:
    """Joins small writes, and says when the socket takes no more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._joined: list[bytes] = []
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._turn = asyncio.Lock()

    @property
    def crowded(self) -> bool:
        """Whether a large write should wait for its turn in `room`."""
        return not self._room.is_set() or self._turn.locked()

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """Write to `transport` from now on."""
        self._transport = transport

    def write(self, frames: bytes) -> None:
        """Send `frames` with the others of this loop turn, in order."""
        if not self._joined:
            self._loop.call_soon(self.flush)
        self._joined.append(frames)
        self._bytes += len(frames)
        if self._bytes > _JOINED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send now what was joined."""
        if not self._joined:
            return
        together = b"".join(self._joined)
        self._joined.clear()
        self._bytes = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(together)

    async def room(self) -> None:
        """Wait until the socket takes more, one after the other. Waits for ever on a dead one."""
        async with self._turn:
            await self._room.wait()

    def pause(self) -> None:
        """Note that the socket takes no more for now."""
        self._room.clear()

    def resume(self) -> None:
        """Note that it takes more, or that there is nothing to wait for any more."""
        self._room.set()
