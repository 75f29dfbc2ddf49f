"""A streamed answer for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Self

from penstock import calls
from penstock.calls import Call
from penstock.errors import Refused, Unreachable
from penstock.lifetime import AsyncClosing
from penstock.retrying import Patience
from penstock.shapes import Request
from penstock.streaming import BROKE_OFF, Chunk, Course, ServerEvent, joined


class AsyncStream(AsyncClosing):
    """The chunks of one answer, each once and in order, also over a connection that breaks.

    A loop over it ends when the request has completed. It raises RequestFailed for any other end,
    StreamInterrupted where what was shown is void, Unreachable when the server stays away. A stream
    that is left early does not cancel its request.

    >>> import asyncio, penstock
    >>> async def main():
    ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
    ...     async with penstock.AsyncClient() as client, client.stream(body) as stream:
    ...         async for chunk in stream:
    ...             print(chunk.text, end="")
    >>> asyncio.run(main())
    echo ...
    """

    def __init__(
        self,
        events: Callable[[Call], AsyncGenerator[ServerEvent, None]],
        begin: Callable[[], Awaitable[Course]],
        retries: int,
    ) -> None:
        self._events = events
        self._begin = begin
        self._retries = retries
        self._course: Course | None = None
        self._chunks = self._read()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self._chunks

    async def __aenter__(self) -> Self:
        await self._begun()
        return self

    @property
    def request(self) -> Request:
        """The request as the server last told it; RuntimeError before the stream was begun."""
        if self._course is None:
            raise RuntimeError("the stream has not begun: read it, or enter it with `async with`")
        return self._course.request

    async def close(self) -> None:
        """Stop reading.

        >>> import asyncio, penstock
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         await client.stream({"model": "llama3.2", "messages": []}).close()
        >>> asyncio.run(main())
        """
        await self._chunks.aclose()

    async def text(self) -> str:
        """Return the whole text of the answer once it is there.

        >>> import asyncio, penstock
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.AsyncClient() as client:
        ...         print(await client.stream(body).text())
        >>> asyncio.run(main())
        echo ...
        """
        text = ""
        async for chunk in self:
            text = joined(text, chunk)
        return text

    async def _begun(self) -> Course:
        if self._course is None:
            self._course = await self._begin()
        return self._course

    async def _read(self) -> AsyncGenerator[Chunk, None]:
        course = await self._begun()
        patience = Patience(self._retries)
        while True:
            failure: Unreachable | Refused = Unreachable(BROKE_OFF)
            try:
                async with aclosing(
                    self._events(calls.following(course.request, course.after))
                ) as events:
                    async for event in events:
                        patience.renew()
                        if (chunk := course.take(event)) is not None:
                            yield chunk
                        if course.over:
                            return
            except (Unreachable, Refused) as error:
                failure = error
            pause_s = patience.pause_s(failure)
            if pause_s is None:
                raise failure
            await asyncio.sleep(pause_s)
