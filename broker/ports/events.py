"""The numbered events of streamed answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

# How long a log outlives the end of its request; later readers are served from the result.
KEPT_S = 300.0
# Where the log of an earlier attempt is lost, numbers go on so far behind it that they are not
# taken for its own: a reader meets a gap.
LOST_GAP = 1_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a streamed answer, numbered from 0; one without `data` begins it anew.

    `data` are the lines of a server-sent event as the backend sent them, without an id and without
    the blank line at its end: `data: {...}`, or `event: x` and `data: {...}`.
    """

    number: int
    attempt: int
    data: bytes


class Follower(Protocol):
    """A reader of one log, from any place in it."""

    async def after(self, number: int, timeout_s: float) -> Sequence[Chunk]:
        """Return what follows `number` as soon as there is something, in order; -1: from the start.

        Nothing after `timeout_s`. The first may lie further on than the next number: then what was
        between is lost.
        """


class Events(Protocol):
    """The event logs, one for each streamed request (PROTOCOL 7). Only the newest attempt writes.

    A log lives until `KEPT_S` after `seal`, or after the deadline of a request that nobody sealed.
    """

    async def begin(
        self, request_id: str, attempt: int, *, restart: bool, deadline: float
    ) -> int | None:
        """Let `attempt`, and none before it, write. Return the number of its first event.

        None, and nothing changed, if an earlier attempt has written: what was shown cannot be taken
        back. With `restart` a chunk without data says so instead, and numbers go on behind it.
        Repeated by the same attempt before it has written, it answers the same.
        """

    async def append(
        self, request_id: str, attempt: int, number: int, data: Sequence[bytes]
    ) -> bool:
        """Add events, the first of them as `number`; False if a newer attempt writes.

        Repeated, it adds nothing twice.
        """

    async def seal(self, request_id: str) -> None:
        """Say that the request has ended; its log is kept `KEPT_S` more."""

    async def read(self, request_id: str, after: int) -> Sequence[Chunk]:
        """Return what follows the event `after`, at most about 1 MiB of it and at least one."""

    def follow(self, request_id: str) -> AbstractAsyncContextManager[Follower]:
        """Follow a log, which may not have begun, while the block lasts."""
