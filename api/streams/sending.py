"""Telling a stream over HTTP: to whoever reads along, or to the held call that waits for it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from api.exchange import EVENT_HEADERS, Exchange, Reply, StreamReply
from api.holding import RELEASED, Holding, reply_of
from api.streams.cursor import NOTHING, streamed
from api.streams.framing import Broken, Ended, Framing, Leaving, State, Step, framed
from api.streams.teller import QUIET_S, Teller, Telling
from schemas.errors import DOOR_ERRORS, RequestError
from schemas.record import Record

# An answer that fails before anything of it is shown has the status of its failure, if that
# comes so soon: then the head is sent, so that nobody takes the silence for a dead server.
HEAD_HELD_S = 3.0


class Streams:
    """The streamed replies of one api process."""

    def __init__(self, teller: Teller, holding: Holding) -> None:
        self._teller = teller
        self._holding = holding

    async def reading(self, record: Record, framing: Framing, after: int = NOTHING) -> StreamReply:
        """Return the stream of `record` for one more reader, who leaves as it pleases."""
        stack = AsyncExitStack()
        telling = await stack.enter_async_context(
            self._teller.telling(record, after, tells_states=framing.tells_states)
        )
        opening = framing.opening(record) if after == NOTHING else b""
        return _reply(record, stack, _blocks(telling, framing, opening, []))

    async def held(
        self, exchange: Exchange, record: Record, framing: Framing, held_s: float = HEAD_HELD_S
    ) -> Reply | StreamReply:
        """Return the answer of a held call: as it would be without a stream, if it fails at once.

        A client that leaves is treated as one of Holding is. Raises RequestError, ClientGone.
        """
        stack = AsyncExitStack()
        telling = await stack.enter_async_context(self._held(record, framing))
        reply: Reply | StreamReply | None = None
        try:
            first = await exchange.while_there(_first(telling, held_s))
            reply = _unstreamed(first, record)
            if reply is None:
                blocks = _blocks(telling, framing, framing.opening(record), first)
                reply = _reply(record, stack, blocks)
            return reply
        finally:
            if not isinstance(reply, StreamReply):
                await stack.aclose()

    @asynccontextmanager
    async def _held(self, record: Record, framing: Framing) -> AsyncIterator[Telling]:
        with self._holding.holds(record):
            telling_it = self._teller.telling(record, tells_states=framing.tells_states)
            async with telling_it as telling:
                try:
                    yield telling
                finally:
                    if not telling.ended:
                        await self._holding.let_go(record)


def _unstreamed(first: list[Step], record: Record) -> Reply | None:
    """Return the answer of what has ended before anything was shown. Raises RequestError."""
    if len(first) != 1:
        return None
    match first[0]:
        case Ended(ended) if not streamed(ended):
            return reply_of(ended)
        case Broken(code, message):
            # Nothing was shown, so it is no gap: else the request has not ended in its time.
            raise RequestError(code if code in DOOR_ERRORS else "deadline_exceeded", message)
        case Leaving():
            raise RequestError("draining", RELEASED[record.on_disconnect])
    return None


def _reply(record: Record, stack: AsyncExitStack, blocks: AsyncGenerator[bytes]) -> StreamReply:
    headers = {"x-request-id": record.id, **EVENT_HEADERS}
    return StreamReply(200, blocks, stack.aclose, headers)


async def _first(telling: Telling, held_s: float) -> list[Step]:
    """Return the first steps that are more than states; after `held_s` the last state, if any."""
    until, state = time.monotonic() + held_s, list[Step]()
    while (left_s := until - time.monotonic()) > 0:
        steps = await telling.news(left_s)
        beyond: list[Step] = [step for step in steps if not isinstance(step, State)]
        if beyond:
            return beyond
        state = steps or state
    return state


async def _blocks(
    telling: Telling, framing: Framing, opening: bytes, first: list[Step]
) -> AsyncGenerator[bytes]:
    if opening:
        yield opening
    steps = first
    while True:
        block = b"".join(framed(framing, step, telling.record, telling.last) for step in steps)
        if block:
            yield block
        if telling.over:
            return
        steps = await telling.news(QUIET_S)
