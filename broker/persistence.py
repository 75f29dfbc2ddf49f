"""Steps that are repeated until the engine answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from schemas.errors import EngineError

_log = structlog.get_logger("penstock.persistence")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0

T = TypeVar("T")


async def persistently(step: Callable[[], Awaitable[T]], what: str) -> T:
    """Repeat `step` until the engine answers: a finished result is held rather than lost.

    It ends with the process: the delivery is then unacked and the message comes back.
    """
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await step()
        except EngineError as error:
            _log.warning("held until the engine answers", step=what, error=str(error))
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
