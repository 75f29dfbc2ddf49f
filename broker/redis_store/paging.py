"""Lists that lie in many zsets, one for each partition, merged to pages by (instant, id)."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Place = tuple[float, str]  # an entry's instant and id
# No id sorts before the first of these or behind the second.
FIRST_ID, LAST_ID = "", "~"

Entry = TypeVar("Entry")
# Looks on from a place; answers what it finds, and where it stopped: None at the end of the list.
Step = Callable[[Place], Awaitable[tuple[list[Entry], Place | None]]]


def outermost(newest_first: bool) -> Place:
    """Return the place before the first entry."""
    return (math.inf, LAST_ID) if newest_first else (-math.inf, FIRST_ID)


def stopped_at(answer: Sequence[bytes] | None) -> Place | None:
    """Return the place that a script names."""
    return (float(answer[0]), answer[1].decode()) if answer else None


class Stream(Generic[Entry]):
    """The matches of one zset, in order."""

    def __init__(self, step: Step[Entry], start: Place) -> None:
        self._step = step
        self._place: Place | None = start
        self.found: deque[Entry] = deque()

    @property
    def hungry(self) -> bool:
        """Whether its next match is not known yet."""
        return not self.found and self._place is not None

    async def fill(self) -> None:
        """Look on by one step."""
        if self._place is not None:
            found, self._place = await self._step(self._place)
            self.found.extend(found)


async def merged(
    streams: Sequence[Stream[Entry]],
    place_of: Callable[[Entry], Place],
    limit: int,
    *,
    newest_first: bool,
) -> list[Entry]:
    """Return the first `limit` of all."""
    choose = max if newest_first else min
    entries: list[Entry] = []
    while len(entries) < limit:
        if hungry := [stream for stream in streams if stream.hungry]:
            await asyncio.gather(*(stream.fill() for stream in hungry))
        elif full := [stream for stream in streams if stream.found]:
            first = choose(full, key=lambda stream: place_of(stream.found[0]))
            entries.append(first.found.popleft())
        else:
            break
    return entries


def share(limit: int, streams: int) -> int:
    """Return how many matches a step should find: a little more than its part of a page."""
    return 2 * limit // (streams or 1) + 4
