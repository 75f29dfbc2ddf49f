"""Who hears of a stream beside its log: one that is slow holds up neither the log nor the slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from schemas.envelope import Envelope

_log = structlog.get_logger("penstock.tapping")
# More than that is not kept for one that is slow: it is told no further.
_MOST_HELD_BYTES = 1024 * 1024
# So long the end of a call waits for what is on its way.
_LAST_S = 1.0

# Hears of the events that have just come into a log, and of the number of the first of them.
Tap = Callable[[int, Sequence[bytes]], Awaitable[None]]
# Says who hears of the events of a request, if anybody does.
Taps = Callable[[Envelope], Tap | None]


class Tapping:
    """Hands events to a tap, in order, while `run` runs; all that came meanwhile at once."""

    def __init__(self, tap: Tap | None) -> None:
        self._tap = tap
        self._number = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._closed = False
        self._news = asyncio.Event()

    def hear(self, number: int, data: Sequence[bytes]) -> None:
        """Take events, the first of them as `number`; never waits."""
        if self._tap is None:
            return
        if not self._held:
            self._number = number
        self._held += data
        self._held_bytes += sum(map(len, data))
        if self._held_bytes > _MOST_HELD_BYTES + len(data[-1]):
            _log.info("a tap is too slow and hears no more", number=number)
            self._give_up()
        self._news.set()

    async def run(self) -> None:
        """Tell until it is closed and all is told, or until the tap is too slow."""
        tap = self._tap
        try:
            while tap is not None and (self._held or not self._closed):
                await self._news.wait()
                self._news.clear()
                if self._held:
                    batch, self._held, self._held_bytes = self._held, [], 0
                    await tap(self._number, batch)
        except Exception:  # noqa: BLE001  because whoever listens must not end the stream
            _log.exception("a tap has failed")
            self._give_up()

    async def close(self, running: asyncio.Future[None]) -> None:
        """Say that no event follows, and give what is on its way a little time."""
        self._closed = True
        self._news.set()
        await asyncio.wait({running}, timeout=_LAST_S)

    def _give_up(self) -> None:
        self._tap, self._closed = None, True
        self._held.clear()
