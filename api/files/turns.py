"""Whose piece is looked at next, where many bodies come in at once."""

from __future__ import annotations

import asyncio


class Turns:
    """One piece a turn of the event loop, of all that come in; whoever came first is first.

    Without it a loop's turn is as long as there are connections with bytes: five hundred uploads
    at once would have everybody else wait for seconds.
    """

    def __init__(self) -> None:
        self._looking = asyncio.Lock()

    async def take(self) -> None:
        """Wait until it is one's turn."""
        async with self._looking:
            await asyncio.sleep(0)
