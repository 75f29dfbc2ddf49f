"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from penstock import calls
from penstock.access import PATIENCE_S, POLL_S, RETRIES, Access
from penstock.async_stream import AsyncStream
from penstock.calls import Answer, Call
from penstock.errors import PenstockError, Refused, TimedOut, Unreachable
from penstock.lifetime import AsyncClosing
from penstock.mapping import AT_ONCE, Outcome, Progress, Window, length_of, options_of
from penstock.retrying import Patience
from penstock.shapes import Options, Request, Result
from penstock.streaming import Course
from penstock.together import AsyncSubmitter

if TYPE_CHECKING:
    import httpx2


class AsyncClient(AsyncClosing):
    """A Penstock over HTTP, for the tasks of one event loop.

    `base_url` is PENSTOCK_URL if it is not given, `api_key` PENSTOCK_API_KEY. A call that meets no
    answer, a full queue or a failing server is made again, `retries` times with growing pauses and
    never sooner than the server asks; a submission that is repeated is still one request.
    Each method raises Unreachable or Refused when that did not help.

    >>> import asyncio, penstock
    >>> async def main():
    ...     async with penstock.AsyncClient() as client:
    ...         request = await client.submit({"model": "llama3.2", "messages": []})
    ...         print((await client.result(request)).body["object"])
    >>> asyncio.run(main())
    chat.completion
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        retries: int = RETRIES,
        timeout_s: float = PATIENCE_S,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        """Make a client; `timeout_s` is how long one try may take, `http` another HTTP client."""
        self._access = Access.given(base_url, api_key)
        self._retries = retries
        # The HTTP client is most of what importing this costs; not all who import it call.
        from penstock.transport import AsyncTransport

        self._transport = AsyncTransport(self._access, timeout_s, http)

    async def close(self) -> None:
        """Close every connection.

        >>> import asyncio, penstock
        >>> async def main():
        ...     await penstock.AsyncClient().close()
        >>> asyncio.run(main())
        """
        await self._transport.close()

    async def submit(self, body: Mapping[str, Any], **options: Unpack[Options]) -> Request:
        """Hand in a request, which is durable from then on, and return it.

        `body` is the backend's own JSON.

        >>> import asyncio, penstock
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.AsyncClient() as client:
        ...         print((await client.submit(body, priority="low", timeout_s=3600)).priority)
        >>> asyncio.run(main())
        low
        """
        return await self._request(calls.submission(body, options))

    async def get(self, request: Request | str) -> Request:
        """Return a request as it is now.

        >>> import asyncio, penstock
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "llama3.2", "messages": []})
        ...         print((await client.get(request.id)).model)
        >>> asyncio.run(main())
        llama3.2
        """
        return await self._request(calls.reading(request))

    async def wait(self, request: Request | str, timeout_s: float | None = None) -> Request:
        """Return a request once it has ended, however it did. Raises TimedOut.

        >>> import asyncio, penstock
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "llama3.2", "messages": []})
        ...         print((await client.wait(request, timeout_s=60)).status)
        >>> asyncio.run(main())
        completed
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = POLL_S if until is None else min(until - time.monotonic(), POLL_S)
            found = await self._request(calls.reading(request, max(left_s, 0.0)))
            if found.ended:
                return found
            if until is not None and time.monotonic() >= until:
                raise TimedOut(found, timeout_s or 0.0)

    async def result(self, request: Request | str, timeout_s: float | None = None) -> Result:
        """Wait for a request and return its result. Raises RequestFailed, TimedOut.

        >>> import asyncio, penstock
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.AsyncClient() as client:
        ...         print((await client.result(await client.submit(body))).text)
        >>> asyncio.run(main())
        echo ...
        """
        return await self._result(await self.wait(request, timeout_s))

    async def cancel(self, request: Request | str) -> Request:
        """Cancel a request, wherever it is, and return it; one that has ended stays as it is.

        >>> import asyncio, penstock
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "slow", "messages": []})
        ...         print((await client.cancel(request)).status)
        >>> asyncio.run(main())
        cancelled
        """
        return await self._request(calls.cancelling(request))

    def stream(self, body: Mapping[str, Any], **options: Unpack[Options]) -> AsyncStream:
        """Hand in a request and return its answer while it is made.

        It is handed in once the stream is entered or read.

        >>> import asyncio, penstock
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.AsyncClient() as client, client.stream(body) as stream:
        ...         async for chunk in stream:
        ...             print(chunk.text, end="")
        >>> asyncio.run(main())
        echo ...
        """

        async def begin() -> Course:
            return Course(await self._request(calls.submission(body, options, stream=True)), -1)

        return AsyncStream(self._transport.events, begin, self._retries)

    def resume(self, request: Request | str, after: int = -1) -> AsyncStream:
        """Return the streamed answer of a request behind the chunk numbered `after`.

        >>> import asyncio, penstock
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.AsyncClient() as client:
        ...         async with client.stream(body) as stream:
        ...             first = await anext(aiter(stream))
        ...         again = client.resume(stream.request, after=first.number)
        ...         print((await anext(aiter(again))).number > first.number)
        ...         await again.close()
        >>> asyncio.run(main())
        True
        """

        async def begin() -> Course:
            return Course(
                request if isinstance(request, Request) else await self.get(request), after
            )

        return AsyncStream(self._transport.events, begin, self._retries)

    async def map(
        self,
        bodies: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        at_once: int = AT_ONCE,
        ordered: bool = True,
        progress: Callable[[Progress], object] | None = None,
        run: str | None = None,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Outcome, None]:
        """Hand in a request for each of `bodies` and yield how each ended, in their order.

        Not `ordered`, they come as they end. At most `at_once` are under way or not yet taken: a
        loop that is slow to take them slows down how `bodies` is read, and a full queue is waited
        for. `progress` is called as requests end. A map that is made again with the same `run`,
        bodies and options finds the requests that it had handed in before.

        >>> import asyncio, penstock
        >>> async def main():
        ...     questions = [{"model": "llama3.2", "messages": [
        ...         {"role": "user", "content": f"Name fruit {number}."}]} for number in range(5)]
        ...     async with penstock.AsyncClient() as client:
        ...         print(len([outcome async for outcome in client.map(questions, ordered=False)]))
        >>> asyncio.run(main())
        5
        """
        window: Window[asyncio.Task[Outcome]] = Window(
            at_once, length_of(bodies), progress, ordered=ordered
        )
        index, submitter = 0, AsyncSubmitter(self._transport.send)
        try:
            async for body in _each(bodies):
                while window.full:
                    await asyncio.wait(window.pending, return_when=asyncio.FIRST_COMPLETED)
                    for outcome in window.take():
                        yield outcome
                own = options_of(index, body, run, options)
                window.add(asyncio.create_task(self._outcome(index, body, own, submitter)))
                index += 1
            while window:
                await asyncio.wait(window.pending, return_when=asyncio.FIRST_COMPLETED)
                for outcome in window.take():
                    yield outcome
        finally:
            for task in window.pending:
                task.cancel()

    async def _outcome(
        self, index: int, body: Mapping[str, Any], options: Options, submitter: AsyncSubmitter
    ) -> Outcome:
        """Take one request of a map to its end."""
        request = None
        try:
            submission = calls.submission(body, options)
            answer = await self._patiently(submitter.send, submission, waits_for_room=True)
            request = calls.request_in(answer, self._access.base)
            request = request if request.ended else await self.wait(request)
            result = await self._result(request)
        except PenstockError as error:
            return Outcome(index, body, request, error=error)
        return Outcome(index, body, request, result)

    async def _result(self, ended: Request) -> Result:
        request = calls.completed(ended)
        inline = calls.inline_result(request)
        if inline is not None:
            return inline
        return Result(request, calls.content_of(await self._answer(calls.answering(request))))

    async def _request(self, call: Call) -> Request:
        return calls.request_in(await self._answer(call), self._access.base)

    async def _answer(self, call: Call) -> Answer:
        return await self._patiently(self._transport.send, call)

    async def _patiently(
        self,
        send: Callable[[Call], Awaitable[Answer]],
        call: Call,
        *,
        waits_for_room: bool = False,
    ) -> Answer:
        """Make a call, again where that can help."""
        patience = Patience(self._retries, waits_for_room=waits_for_room)
        while True:
            try:
                return calls.checked(await send(call), self._access.base)
            except (Unreachable, Refused) as error:
                pause_s = patience.pause_s(error)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)


async def _each(
    bodies: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
) -> AsyncGenerator[Mapping[str, Any], None]:
    if isinstance(bodies, AsyncIterable):
        async for body in bodies:
            yield body
        return
    for body in bodies:
        yield body
