"""One upload: its body is read and its answers are written at the same time, each at its pace.

Answers go out in the order of the lines, a parcel at a time. Who reads them slowly fills the
window, and then the body is read no further.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

import orjson

from api.bulk.lines import Lines, Parcel, Parcels
from api.bulk.taking import Answered, Taker, refusal
from api.bulk.window import Window
from api.exchange import ClientGone, Exchange
from broker.lifecycle import Tasks, drop
from schemas.errors import RequestError


@dataclass(frozen=True, slots=True)
class _Begun:
    parcel: Parcel
    answered: asyncio.Future[Answered]


class Course:
    """One upload on its way. Parcels that were begun end as tasks of `tasks`, whoever leaves."""

    def __init__(self, exchange: Exchange, taker: Taker, max_line_bytes: int, tasks: Tasks) -> None:
        self._exchange = exchange
        self._taker = taker
        self._tasks = tasks
        self._lines = Lines(max_line_bytes)
        self._window = Window()
        self._begun: asyncio.Queue[_Begun | None] = asyncio.Queue()
        self._parcels = Parcels()
        # Waits for room in the window.
        self._next: Parcel | None = None
        self._accepted = self._refused = 0
        self._drained = self._gone = False
        self._reader = asyncio.create_task(self._read(), name="bulk: read")

    def drain(self) -> None:
        """Begin nothing more."""
        self._drained = not self._reader.done()
        self._reader.cancel()

    async def answers(self) -> AsyncGenerator[bytes]:
        """Yield the answers, and the last line of all."""
        while (begun := await self._begun.get()) is not None:
            answered = await begun.answered
            self._accepted += answered.accepted
            self._refused += len(begun.parcel.lines) - answered.accepted
            yield answered.text
            self._window.give(begun.parcel)
        if self._gone:
            return
        if self._drained:
            yield refusal(self._first_left, RequestError("draining"))
            await self._exchange.linger()
            return
        await self._reader
        yield _summary(self._accepted, self._refused)

    async def close(self) -> None:
        """Read no more."""
        await drop(self._reader)

    @property
    def _first_left(self) -> int:
        if self._next is not None:
            return self._next.lines[0].number
        return self._parcels.first or self._lines.read + 1

    async def _read(self) -> None:
        try:
            async for piece in self._exchange.pieces():
                for lines in self._lines.feed(piece):
                    await self._begin(self._parcels.add(lines))
                    await asyncio.sleep(0)
                await self._begin(self._parcels.rest())
            await self._begin(self._parcels.add(self._lines.end()))
            await self._begin(self._parcels.rest())
        except ClientGone:
            self._gone = True
        finally:
            self._begun.put_nowait(None)

    async def _begin(self, parcels: Iterator[Parcel]) -> None:
        for parcel in parcels:
            self._next = parcel
            await self._window.take(parcel)
            self._next = None
            begun = _Begun(parcel, asyncio.get_running_loop().create_future())
            self._tasks.spawn("parcel", self._take(begun))
            self._begun.put_nowait(begun)

    async def _take(self, begun: _Begun) -> None:
        begun.answered.set_result(await self._taker.take(begun.parcel))


def _summary(accepted: int, refused: int) -> bytes:
    told = {"object": "bulk.summary", "accepted": accepted, "refused": refused}
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
