"""What was asked about lately, looked at once a second: nothing else of it is read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog

from schemas.errors import EngineError

_log = structlog.get_logger("penstock.following")
_REFRESH_S = 1.0
_FIRST_LOOK_S = 0.5
# What nobody has asked about for so long is looked at no more.
_FORGET_S = 10.0


class Followed(Protocol):
    """Something that can be looked at again and again."""

    async def look(self) -> None:
        """Read it once. Raises EngineError."""


F = TypeVar("F", bound=Followed)


class _Entry(Generic[F]):
    def __init__(self, followed: F) -> None:
        self.followed = followed
        self.known = False
        self.asked_at = 0.0
        self.first_look: asyncio.Event | None = None


class Following(Generic[F]):
    """The followed things of one kind by name; `make` makes one that nobody has asked about yet."""

    def __init__(self, make: Callable[[str], F]) -> None:
        self._make = make
        self._entries: dict[str, _Entry[F]] = {}

    async def get(self, name: str) -> F:
        """Return what is followed as `name`, looked at once if that answers soon."""
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(self._make(name))
        entry.asked_at = time.monotonic()
        if not entry.known:
            await _first_look(entry)
        return entry.followed

    async def run(self) -> None:
        """Look once a second at everything that was asked about lately, until cancelled."""
        pause_s = _REFRESH_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            for name, entry in list(self._entries.items()):
                if entry.asked_at < began - _FORGET_S:
                    del self._entries[name]
                    continue
                try:
                    await _look(entry)
                except EngineError as error:
                    _log.info("what waits is not known", of=name, error=str(error))
            # Many names make a round long; it must not become this process's whole work.
            pause_s = max(_REFRESH_S, 3 * (time.monotonic() - began))


async def _first_look(entry: _Entry[F]) -> None:
    """Look now, one for all who ask; nobody waits long for it, or is refused because it failed."""
    if entry.first_look is not None:
        await entry.first_look.wait()
        return
    entry.first_look = asyncio.Event()
    try:
        with contextlib.suppress(EngineError, TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_S):
                await _look(entry)
    finally:
        entry.first_look.set()
        entry.first_look = None


async def _look(entry: _Entry[F]) -> None:
    await entry.followed.look()
    entry.known = True
