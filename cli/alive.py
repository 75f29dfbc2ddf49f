"""A file that is touched while the event loop turns: a worker has no port to ask."""

from __future__ import annotations

import asyncio
from pathlib import Path

from schemas.errors import ConfigError

TOUCH_S = 2.0


def touch_or_refuse(path: Path) -> None:
    """Touch the file once. Raises ConfigError where that is not possible."""
    try:
        path.touch()
    except OSError as error:
        raise ConfigError(f"--alive-file: cannot write {path}: {error.strerror}.") from None


async def keep_touching(path: Path) -> None:
    """Touch the file every 2 s until cancelled."""
    while True:
        await asyncio.to_thread(path.touch)
        await asyncio.sleep(TOUCH_S)
