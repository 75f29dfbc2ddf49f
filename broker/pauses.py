"""Long work on the event loop, done in steps that nobody notices."""

from __future__ import annotations

import asyncio
import time

_STEP_S = 0.001


class Pauses:
    """Lets whatever else waits on the loop have its turn after each millisecond of work."""

    def __init__(self) -> None:
        self._due_at = time.monotonic() + _STEP_S

    async def turn(self) -> None:
        """Call it often; it returns at once while the step lasts."""
        if time.monotonic() >= self._due_at:
            await asyncio.sleep(0)
            self._due_at = time.monotonic() + _STEP_S
